"""Syslog: what devices and programs log over the network, as values.

RFC 5424 messages and, as far as they have a form, those of RFC 3164 (``message``); how a TCP connection is cut
into messages, RFC 6587 (``framing``). TLS (RFC 5425) carries the octet-counted form.
"""

from skytrail.wire.syslog.framing import SyslogFramer
from skytrail.wire.syslog.message import FACILITIES, SyslogMessage, decode_message

__all__ = ["FACILITIES", "SyslogFramer", "SyslogMessage", "decode_message"]
