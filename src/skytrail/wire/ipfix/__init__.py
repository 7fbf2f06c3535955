"""IPFIX (RFC 7011) and NetFlow version 9 (RFC 3954): flows of switches and routers, by templates they send before."""

from skytrail.wire.ipfix.message import Exported, decode_message
from skytrail.wire.ipfix.records import FlowRecord
from skytrail.wire.ipfix.templates import Template, Templates

__all__ = ["Exported", "FlowRecord", "Template", "Templates", "decode_message"]
