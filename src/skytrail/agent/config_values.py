"""Values of configuration as agents get them: text, lists and mappings of it, read or taken as absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from uuid import UUID

from skytrail.agent.tables import IpNetwork
from skytrail.net import IpAddress
from skytrail.wire.xmpp import ConfigNode, ConfigValue


def object_uuid(node: ConfigNode) -> str:
    """The object's uuid: its own property, from ``id_perms``, else the name's last part."""
    plain = node.properties.get("uuid")
    if isinstance(plain, str) and plain:
        return plain.lower()
    parts = mapping_of(mapping_of(node.properties.get("id_perms")).get("uuid"))
    high, low = number_of(parts.get("uuid_mslong")), number_of(parts.get("uuid_lslong"))
    if high is not None and low is not None:
        # Clients write the halves as signed or unsigned numbers.
        mask = (1 << 64) - 1
        return str(UUID(int=(high & mask) << 64 | (low & mask)))
    return node.key.name.rpartition(":")[2].lower()


def text_of(value: ConfigValue | None) -> str:
    return value if isinstance(value, str) else ""


def number_of(value: ConfigValue | None) -> int | None:
    text = text_of(value).strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else None


def bounded_of(value: ConfigValue | None, maximum: int) -> int:
    """A number in 1..maximum, else 0: what does not fit a wire field is as good as absent."""
    number = number_of(value)
    return number if number is not None and 0 < number <= maximum else 0


def flag_of(value: ConfigValue | None, *, default: bool = False) -> bool:
    text = text_of(value).strip().lower()
    return text in {"true", "1"} if text else default


def mapping_of(value: ConfigValue | None) -> Mapping[str, ConfigValue]:
    return value if isinstance(value, Mapping) else {}


def list_of(value: ConfigValue | None) -> Sequence[ConfigValue]:
    """A list, also when XML reduced one of a single element to the element."""
    if value is None or value == "":
        return ()
    return (value,) if isinstance(value, str | Mapping) else value


def unscoped(text: str) -> str:
    """Raises ``ValueError`` for an IPv6 zone: it means nothing beyond one host, and any text passes
    for one, which control nodes refuse together with the session that brought it.
    """
    if "%" in text:
        raise ValueError("an address with a zone cannot be routed")
    return text


def address_of(value: ConfigValue | None) -> IpAddress | None:
    try:
        return ip_address(unscoped(text_of(value).strip().partition("/")[0]))
    except ValueError:
        return None


def usable_address_of(value: ConfigValue | None) -> IpAddress | None:
    """An address; the unspecified one means none."""
    address = address_of(value)
    return None if address is None or address.is_unspecified else address


def prefix_of(value: ConfigValue | None) -> IpNetwork | None:
    """A ``SubnetType``."""
    parts = mapping_of(value)
    length = text_of(parts.get("ip_prefix_len")).strip()
    text = text_of(parts.get("ip_prefix")).strip()
    if not text:
        return None
    try:
        return ip_network(unscoped(f"{text}/{length}" if length else text), strict=False)
    except ValueError:
        return None


def annotation_of(properties: Mapping[str, ConfigValue], key: str) -> str:
    """The value of an object's annotation; empty without one."""
    pairs = mapping_of(properties.get("annotations")).get("key_value_pair")
    read = [mapping_of(each) for each in list_of(pairs)]
    return next(
        (text_of(each.get("value")) for each in read if text_of(each.get("key")) == key), ""
    )
