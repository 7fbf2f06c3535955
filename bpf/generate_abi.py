"""Writes src/skytrail/agent/abi.py from the BTF of the compiled datapath.

The C headers are the only description of shared memory; this turns their BTF into named tuples
with exact layouts, enumerations and constants. ``--check`` fails when the file is stale.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OBJECT = ROOT / "build/bpf/vrouter_tc.bpf.o"
OUTPUT = ROOT / "src/skytrail/agent/abi.py"

ENUM_PREFIXES = {
    "drop_reason": "DROP_",
    "punt_reason": "PUNT_",
    "interface_kind": "INTERFACE_",
    "interface_flags": "INTERFACE_",
    "nexthop_kind": "NEXTHOP_",
    "nexthop_flags": "NEXTHOP_",
    "encapsulation": "ENCAP_",
    "flood_flags": "FLOOD_",
    "floating_flags": "FLOATING_",
    "interface_options": "OPTION_",
    "flow_flags": "FLOW_",
    "flow_direction": "DIRECTION_",
    "mirror_kind": "MIRROR_",
    "mirror_flags": "MIRROR_",
    "capture_point": "CAPTURE_",
    "capture_asks": "CAPTURE_",
    "session_kind": "SESSION_",
}
STRUCTS = (
    "limits",
    "settings",
    "interface",
    "vlan_key",
    "nexthop",
    "ecmp_member",
    "ecmp_members",
    "flood",
    "flood_key",
    "bgp_service_key",
    "bgp_service",
    "floating_key",
    "floating",
    "floating_port_key",
    "qos_mark",
    "qos_map",
    "rate",
    "fat_key",
    "fold_key",
    "fold",
    "flow_share",
    "ageing_key",
    "link_service_key",
    "link_service",
    "port_pool",
    "route_key4",
    "route_key6",
    "route",
    "bridge_key",
    "mac_seen_key",
    "source",
    "policy_identity_key",
    "verdict_key",
    "verdict",
    "source_port_key",
    "flow_key4",
    "flow_key6",
    "translation",
    "translation_rest",
    "flow",
    "flow_counters",
    "punt_event",
    "drop_key",
    "mirror",
    "mirror_counters",
    "port_mirror",
    "capture_filter",
    "capture_counters",
    "session_event",
    "session_counters",
    "flow_scan",
)
NETWORK_ORDER = {"__be16": 2, "__be32": 4}
INTEGER_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
HEADER = '''"""What the datapath and the agent share: generated from BTF by bpf/generate_abi.py, do not edit.

Fields in network byte order and byte arrays are ``bytes``; everything else is ``int``. Layouts
are those of the little-endian target the object was compiled for.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

'''


class Btf:
    """Type lookups in one object's BTF."""

    def __init__(self, path: Path) -> None:
        command = ["bpftool", "btf", "dump", "file", str(path), "-j"]
        dump = subprocess.run(command, check=True, capture_output=True).stdout
        self.types = {entry["id"]: entry for entry in json.loads(dump)["types"]}

    def named(self, kind: str, name: str) -> dict:
        for entry in self.types.values():
            if entry["kind"] == kind and entry["name"] == name:
                return entry
        raise SystemExit(f"{OBJECT} has no {kind.lower()} {name}")

    def member_code(self, type_id: int) -> tuple[str, bool]:
        """Struct code of a member and whether it is bytes. Arrays of integers become bytes,
        except 64-bit ones, which repeat; so do structures.
        """
        entry = self.types[type_id]
        if entry["kind"] == "TYPEDEF":
            if entry["name"] in NETWORK_ORDER:
                return f"{NETWORK_ORDER[entry['name']]}s", True
            return self.member_code(entry["type_id"])
        if entry["kind"] == "INT":
            return INTEGER_CODES[entry["size"]], False
        if entry["kind"] == "ARRAY":
            size = self.size(entry["type_id"])
            if size == 8 and self.resolve(entry["type_id"])["kind"] == "INT":
                return f"{entry['nr_elems']}Q", False
            return f"{size * entry['nr_elems']}s", True
        if entry["kind"] == "STRUCT":
            return f"{entry['size']}s", True
        raise SystemExit(f"cannot describe {entry}")

    def resolve(self, type_id: int) -> dict:
        entry = self.types[type_id]
        while entry["kind"] == "TYPEDEF":
            entry = self.types[entry["type_id"]]
        return entry

    def size(self, type_id: int) -> int:
        return self.resolve(type_id)["size"]


def class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def enum_text(btf: Btf, name: str, prefix: str) -> str:
    lines = [f"class {class_name(name)}(enum.IntEnum):"]
    lines += [
        f"    {value['name'].removeprefix(prefix)} = {value['val']}"
        for value in btf.named("ENUM", name)["values"]
        if not value["name"].endswith("_COUNT")
    ]
    return "\n".join(lines)


def struct_text(btf: Btf, name: str) -> str:
    entry = btf.named("STRUCT", name)
    layout, fields, offset = "=", [], 0
    for member in entry["members"]:
        if member["bits_offset"] != offset * 8:
            raise SystemExit(f"{name}.{member['name']} has an implicit hole before it")
        code, is_bytes = btf.member_code(member["type_id"])
        size = struct.calcsize("=" + code)
        offset += size
        if member["name"].startswith("pad"):
            layout += f"{size}x"
            continue
        layout += code
        if code.endswith("Q") and code != "Q":
            fields += [f"    {member['name']}_{i}: int" for i in range(int(code[:-1]))]
        else:
            fields.append(f"    {member['name']}: {'bytes' if is_bytes else 'int'}")
    if offset != entry["size"]:
        raise SystemExit(f"{name} has an implicit hole at its end")
    title = class_name(name)
    return "\n".join(
        [
            f"class {title}(NamedTuple):",
            f'    """``struct {name}``, {entry["size"]} bytes."""',
            "",
            *fields,
            "",
            "    def pack(self) -> bytes:",
            f"        return {name.upper()}_LAYOUT.pack(*self)",
            "",
            "    @classmethod",
            f"    def unpack(cls, raw: bytes | bytearray | memoryview) -> {title}:",
            f"        return cls._make({name.upper()}_LAYOUT.unpack(raw))",
            "",
            "",
            f'{name.upper()}_LAYOUT = struct.Struct("{layout}")',
        ]
    )


def generate(btf: Btf) -> str:
    constants = "\n".join(
        f"{value['name']} = {value['val']}"
        for name in ("abi", "qos")
        for value in btf.named("ENUM", name)["values"]
    )
    parts = [HEADER + constants]
    parts += [enum_text(btf, name, prefix) for name, prefix in ENUM_PREFIXES.items()]
    parts += [struct_text(btf, name) for name in STRUCTS]
    return "\n\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when abi.py is stale")
    text = generate(Btf(OBJECT))
    if not parser.parse_args().check:
        OUTPUT.write_text(text)
        return 0
    if OUTPUT.read_text() == text:
        return 0
    print(f"{OUTPUT} is stale: run `make -C bpf abi`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
