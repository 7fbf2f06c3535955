"""The repository still has the shape its documents promise."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "skytrail"
MODULE_LINES_MAX = 800
GENERATED_ABI = ROOT / "src/skytrail/agent/abi.py"
FUNCTION_LINES_MAX = 70
BPF_HEADER_LINES_MAX = 300
BANNED_MODULE_NAMES = {"manager", "helper", "helpers", "util", "utils", "common", "misc", "info"}


def tracked_files(*patterns: str) -> list[Path]:
    """Files git knows about (or would add), so that build output never counts."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def python_sources() -> list[Path]:
    return [
        path
        for path in tracked_files("*.py")
        if "generated" not in path.parts and path != GENERATED_ABI
    ]


def test_no_module_is_longer_than_the_limit():
    too_long = {
        str(path.relative_to(ROOT)): lines
        for path in python_sources()
        if (lines := len(path.read_text().splitlines())) > MODULE_LINES_MAX
    }

    assert too_long == {}


def test_no_product_function_is_longer_than_the_limit():
    too_long = {}
    for path in python_sources():
        if not path.is_relative_to(SOURCE):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    too_long[f"{path.relative_to(ROOT)}:{node.name}"] = lines

    assert too_long == {}


def test_modules_have_names_of_the_field():
    named_badly = [
        str(path.relative_to(ROOT))
        for path in python_sources()
        if path.stem in BANNED_MODULE_NAMES or path.stem.startswith("vnc_")
    ]

    assert named_badly == []


def test_every_product_module_says_what_it_is_for():
    silent = [
        str(path.relative_to(ROOT))
        for path in python_sources()
        if path.is_relative_to(SOURCE)
        and path.name != "__init__.py"
        and ast.get_docstring(ast.parse(path.read_text())) is None
    ]

    assert silent == []


def test_bpf_headers_stay_small():
    too_long = {
        path.name: lines
        for path in tracked_files("bpf/include/*.h", "bpf/src/*.c")
        if "generated" not in path.name
        and (lines := len(path.read_text().splitlines())) > BPF_HEADER_LINES_MAX
    }

    assert too_long == {}


def test_bpf_sources_carry_their_licence():
    unlicensed = [
        path.name
        for path in tracked_files("bpf/include/*.h", "bpf/src/*.c")
        if "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause" not in path.read_text()[:300]
    ]

    assert unlicensed == []


def test_every_path_named_in_the_architecture_exists():
    table = (
        (ROOT / "ARCHITECTURE.md").read_text().split("## Where does X happen?")[1].split("\n## ")[0]
    )
    named = re.findall(r"`([a-z_./]+/[a-z_./<>*-]*)`", table)
    missing = [name for name in named if not any(ROOT.glob(re.sub(r"<\w+>", "*", name)))]

    assert named
    assert missing == []


def test_every_test_named_for_a_trap_of_bgp_peers_exists():
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", (ROOT / "docs/bgp-traps.md").read_text()))
    defined = {
        name
        for path in tracked_files("tests/**/test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }

    assert named
    assert named - defined == set()


@pytest.mark.parametrize(
    "component",
    ["model", "wire", "runtime", "store", "client", "api", "compiler", "control", "agent", "lab"],
)
def test_every_component_explains_its_design(component: str):
    design = SOURCE / component / "DESIGN.md"

    assert design.exists()
    assert 10 <= len(design.read_text().splitlines()) <= 300


def test_decision_records_are_numbered_once():
    numbers = [path.name[:4] for path in tracked_files("docs/adr/*.md") if path.name[0].isdigit()]

    assert numbers
    assert len(numbers) == len(set(numbers))


def test_documents_link_only_to_files_that_exist():
    broken = []
    for path in tracked_files("*.md"):
        targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text())
        broken.extend(
            f"{path.relative_to(ROOT)} -> {target}"
            for target in targets
            if "://" not in target and not (path.parent / target).exists()
        )

    assert broken == []


def anchors_of(text):
    """Return what links may name in a document: its headings, as GitHub spells them."""
    outside_code = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", outside_code))
    for heading in re.findall(r"^#{1,6} +(.+?) *$", outside_code, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = next(n for n in range(100) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def test_links_to_parts_of_documents_name_headings_that_are_there():
    broken = []
    for path in tracked_files("*.md"):
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", path.read_text()):
            document = path if not target else path.parent / target
            if "://" in target or document.suffix != ".md" or not document.exists():
                continue
            if anchor not in anchors_of(document.read_text()):
                broken.append(f"{path.relative_to(ROOT)} -> {target}#{anchor}")

    assert broken == []


def test_files_whose_durations_are_known_exist():
    lines = (ROOT / "tests/durations.txt").read_text().splitlines()

    missing = [file for _, file in (line.split() for line in lines) if not (ROOT / file).is_file()]

    assert missing == []


def test_lock_files_hold_hashes_and_no_addresses():
    for lock in tracked_files("*.lock"):
        text = lock.read_text()
        pinned = re.findall(r"^[a-zA-Z0-9_.-]+==", text, re.MULTILINE)

        assert pinned
        assert text.count("--hash=sha256:") >= len(pinned)
        assert "http://" not in text
        assert "https://" not in text


def test_no_tracked_file_names_this_machine():
    """Absolute paths of a checkout or a home would only be true on the machine they came from."""
    pattern = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/(?:main|shared|\.)")
    named = [
        str(path.relative_to(ROOT))
        for path in tracked_files(
            "*.py", "*.md", "*.sh", "*.yaml", "*.toml", "Makefile", "*.h", "*.c"
        )
        if path != Path(__file__) and pattern.search(path.read_text())
    ]

    assert named == []
