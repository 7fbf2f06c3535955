"""Rules of DHCP option lists: what cannot be sent is refused where it is written, not left out later."""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.documents import Document
from skytrail.api.refusal import bad_request
from skytrail.wire.dhcp import configured_option

_LIST = "dhcp_option_list"
_PORT_LIST = "virtual_machine_interface_dhcp_option_list"


def check_port(body: Document, old: Document | None) -> None:
    """Check the options of an interface."""
    _check(body, old or {}, _PORT_LIST)


def check_manager(body: Document, old: Document | None) -> None:
    """Check the options of an address manager."""
    holder = "network_ipam_mgmt"
    _check(documents.section(body, holder), documents.section(old or {}, holder), _LIST)


def check_subnet(subnet: Document, old: Document | None) -> None:
    """Check the options of one subnet."""
    _check(subnet, old or {}, _LIST)


def _check(holder: Document, old: Document, field: str) -> None:
    # Of before there were rules: whoever changes something else is not held up.
    if holder.get(field) == old.get(field):
        return
    for option in documents.sections(documents.section(holder, field), "dhcp_option"):
        name = documents.text(option, "dhcp_option_name") or ""
        text = documents.text(option, "dhcp_option_value") or ""
        raw = documents.text(option, "dhcp_option_value_bytes") or ""
        try:
            configured_option(name, text, raw)
        except ValueError as error:
            raise bad_request(f"{field}: {error}") from None
