"""Which files are generated from the schema, and which of them are not up to date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from skytrail.model.generate.build import build_catalog
from skytrail.model.generate.catalog_code import catalog_modules
from skytrail.model.generate.console_model import console_files
from skytrail.model.generate.go import go_files
from skytrail.model.generate.java import java_files
from skytrail.model.generate.names import names_module
from skytrail.model.generate.python_client import client_modules
from skytrail.model.generate.reference_docs import reference_pages
from skytrail.model.generate.structs import objects_module, types_module
from skytrail.model.meta import load_schema

CODE = "src/skytrail/model/generated"
CLIENT = "src/skytrail/client/generated"
JAVA = "bindings/java/generated"
GO = "bindings/go"
REFERENCE = "docs/reference"
CONSOLE = "console/src/generated"
# Files that are all generated: what else is there under such a name is stale.
OWNED = (
    (CODE, "*.py"),
    (CLIENT, "*.py"),
    (JAVA, "**/*.java"),
    (GO, "generated_*.go"),
    (REFERENCE, "*.md"),
    (CONSOLE, "*"),
)


def generated_files(schema_directory: Path) -> dict[str, str]:
    """Path below the repository root -> content, for everything the schema determines."""
    catalog = build_catalog(load_schema(schema_directory))
    modules = {
        "__init__": "",
        "types": types_module(catalog),
        "objects": objects_module(catalog),
        "names": names_module(catalog),
        **catalog_modules(catalog),
    }
    pages = reference_pages(catalog)
    return {
        **{f"{CODE}/{name}.py": text for name, text in modules.items()},
        **{f"{CLIENT}/{name}.py": text for name, text in client_modules(catalog).items()},
        **{f"{JAVA}/{name}": text for name, text in java_files(catalog).items()},
        **{f"{GO}/{name}": text for name, text in go_files(catalog).items()},
        **{f"{CONSOLE}/{name}": text for name, text in console_files(catalog).items()},
        **{f"{REFERENCE}/{name}": text for name, text in pages.items()},
    }


def stale_files(files: Mapping[str, str], root: Path) -> list[str]:
    """Paths whose content on disk differs, is missing, or that are no longer generated."""
    changed = [name for name, text in files.items() if _content(root / name) != text]
    present = (
        path.relative_to(root).as_posix()
        for folder, pattern in OWNED
        for path in sorted((root / folder).glob(pattern))
    )
    return changed + [name for name in present if name not in files]


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
