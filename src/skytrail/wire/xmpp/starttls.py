"""The elements with which two ends agree to encrypt a stream (RFC 6120 section 5).

```
 server: <stream:features><starttls><required/>   client: <starttls/>   server: <proceed/>   TLS
```
"""

from __future__ import annotations

from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp.xml import StanzaParser, XmlElement, children_by_name, local_name

RFC = "RFC 6120 section 5.4"
_NAMESPACE = b"urn:ietf:params:xml:ns:xmpp-tls"
OFFER = (
    b"<stream:features><starttls xmlns='%b'><required/></starttls></stream:features>" % _NAMESPACE
)
REQUEST = b"<starttls xmlns='%b'/>" % _NAMESPACE
PROCEED = b"<proceed xmlns='%b'/>" % _NAMESPACE
NEGOTIATION_BYTES_MAX = 4096
"""No element before encryption needs more."""


def is_offer(stanza: bytes) -> bool:
    """Whether the server offers encryption with this element; others are passed over."""
    element = _parsed(stanza)
    return local_name(element) == "features" and "starttls" in children_by_name(element)


def may_be_features(stanza: bytes) -> bool:
    """Tell cheaply, for every stanza of a session, which ones deserve a look."""
    return b"features" in stanza[:32]


def is_features(stanza: bytes) -> bool:
    return local_name(_parsed(stanza)) == "features"


def check_request(stanza: bytes) -> None:
    """Raise ``DecodeError`` unless the client asks for encryption."""
    if local_name(_parsed(stanza)) != "starttls":
        raise DecodeError("TLS is required before anything else is said", 0, RFC)


def check_proceed(stanza: bytes) -> None:
    """Raise ``DecodeError`` unless the server goes on to encrypt."""
    name = local_name(_parsed(stanza))
    if name != "proceed":
        raise DecodeError(f"the server does not begin TLS: {name[:40]!r}", 0, RFC)


def _parsed(stanza: bytes) -> XmlElement:
    if len(stanza) > NEGOTIATION_BYTES_MAX:
        raise DecodeError("an element before TLS is too long", 0, RFC)
    return StanzaParser().parse(stanza)
