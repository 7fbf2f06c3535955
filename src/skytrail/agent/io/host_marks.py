"""Marks what the host itself sends into the underlay, by nf_tables; workloads' packets never come by.

```
 table skytrail-qos (ip, ip6)
   chain output: leaves by an uplink -> map marks: DSCP -> goto class-N
   chain class-N: DSCP of the forwarding class; packet priority, by which queues find theirs
```
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence

from skytrail.agent.abi import QOS_PRIORITY_FIRST
from skytrail.agent.qos import Marks
from skytrail.agent.tables import QosMark
from skytrail.runtime import nf_tables
from skytrail.runtime.nf_tables import REGISTER, Change, nest, number, text, value

TABLE = "skytrail-qos"
_OUTPUT, _MAP = "output", "marks"
_PRIORITY_MANGLE = -150
_SHIFTS: dict[int, int] = {socket.AF_INET: 2, socket.AF_INET6: 6}
"""Where the DSCP is in a header's first 16 bits (RFC 791, RFC 8200)."""
_WORD_BYTES = 2
_WORD_MASK, _DSCP_MASK = 0xFFFF, 0x3F
_CHECKSUM_AT = 10
_NETWORK_HEADER, _CHECKSUM_INTERNET = 1, 1
_VERDICT, _GOTO = 0xFFFFFF00, -4
_IS_MAP = 8
_META_PRIORITY = 2
_TIMEOUT_S = 5.0


def install(ifnames: Sequence[str], marks: Marks) -> None:
    """Have packets of the host that leave by these marked; ``marks`` by DSCP, empty: none.

    Raises ``OSError`` when the kernel refuses; then everything is as before.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nf_tables.NETLINK_NETFILTER) as to:
        to.settimeout(_TIMEOUT_S)
        if any(marks):
            nf_tables.commit(
                to, [each for family in _SHIFTS for each in _table(family, ifnames, marks)]
            )
            return
        for family in _SHIFTS:
            try:
                nf_tables.commit(to, [Change(family, nf_tables.DELETE_TABLE, text(1, TABLE))])
            except OSError as error:
                # A kernel without nf_tables has no table to take away.
                if error.errno not in {errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT}:
                    raise


def _table(family: int, ifnames: Sequence[str], marks: Marks) -> Iterator[Change]:
    # Made first, so that the old one can be deleted whether it is there or not.
    for kind in (nf_tables.NEW_TABLE, nf_tables.DELETE_TABLE, nf_tables.NEW_TABLE):
        yield Change(family, kind, text(1, TABLE))
    hook = nf_tables.HOOK_OUTPUT, _PRIORITY_MANGLE
    yield Change(family, nf_tables.NEW_CHAIN, nf_tables.base_chain(TABLE, _OUTPUT, "filter", hook))
    for mark in dict.fromkeys(filter(None, marks)):
        chain = _chain(mark)
        yield Change(family, nf_tables.NEW_CHAIN, text(1, TABLE) + text(3, chain))
        body = nf_tables.rule(TABLE, chain, _marking(family, mark))
        yield Change(family, nf_tables.NEW_RULE, body)
    named = text(1, TABLE) + text(2, _MAP)
    sizes = number(4, 0) + number(5, _WORD_BYTES) + number(6, _VERDICT)
    yield Change(family, nf_tables.NEW_SET, named + number(3, _IS_MAP) + sizes + number(10, 1))
    elements = b"".join(
        nest(1, value(1, _word(dscp << _SHIFTS[family])) + nest(2, _goto(mark)))
        for dscp, mark in enumerate(marks)
        if mark is not None
    )
    listed = text(1, TABLE) + text(2, _MAP) + nest(3, elements)
    yield Change(family, nf_tables.NEW_ELEMENTS, listed)
    for ifname in ifnames:
        expressions = [*nf_tables.leaves_by(ifname), *_by_dscp(family)]
        yield Change(family, nf_tables.NEW_RULE, nf_tables.rule(TABLE, _OUTPUT, expressions))


def _by_dscp(family: int) -> Iterator[tuple[str, bytes]]:
    yield _load()
    yield _masked(_DSCP_MASK << _SHIFTS[family], 0)
    # The attributes of "lookup" are map, source register, destination: 0 is the verdict.
    yield "lookup", text(1, _MAP) + number(2, REGISTER) + number(3, 0) + number(4, 1)


def _marking(family: int, mark: QosMark) -> Iterator[tuple[str, bytes]]:
    shift = _SHIFTS[family]
    yield _load()
    yield _masked(_WORD_MASK & ~(_DSCP_MASK << shift), mark.dscp << shift)
    checksum = number(6, _CHECKSUM_INTERNET) + number(7, _CHECKSUM_AT)
    yield (
        "payload",
        number(5, REGISTER) + _header_word() + (checksum if family == socket.AF_INET else b""),
    )
    priority = struct.pack("=I", QOS_PRIORITY_FIRST + mark.class_id)
    yield "immediate", number(1, REGISTER) + value(2, priority)
    yield "meta", number(2, _META_PRIORITY) + number(3, REGISTER)


def _load() -> tuple[str, bytes]:
    return "payload", number(1, REGISTER) + _header_word()


def _header_word() -> bytes:
    return number(2, _NETWORK_HEADER) + number(3, 0) + number(4, _WORD_BYTES)


def _masked(mask: int, then: int) -> tuple[str, bytes]:
    registers = number(1, REGISTER) + number(2, REGISTER) + number(3, _WORD_BYTES)
    return "bitwise", registers + value(4, _word(mask)) + value(5, _word(then))


def _word(content: int) -> bytes:
    return struct.pack("!H", content)


def _goto(mark: QosMark) -> bytes:
    return nest(2, number(1, _GOTO) + text(2, _chain(mark)))


def _chain(mark: QosMark) -> str:
    return f"class-{mark.class_id}"
