"""The XML below the stanzas: hardened parsing, escaping, local names.

RFC 6120 section 11.1 forbids DTDs, comments, processing instructions and entities other than the
five predefined ones. The framer refuses ``<!`` and ``<?`` before anything reaches libxml2, which
itself is told to load and expand nothing and to stop at its own depth (256) and text limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol, cast

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] # compiled, without stubs

from skytrail.wire.errors import DecodeError

XMPP_RFC = "RFC 6120 section 11.1"
_STREAM_OPEN = b"<s xmlns:stream='http://etherx.jabber.org/streams'>"
_STREAM_CLOSE = b"</s>"
_FORBIDDEN_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Carriage return and the white space of attributes would be normalised away by the reader.
_ESCAPES = {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("'"): "&apos;",
    ord("\r"): "&#13;",
    ord("\n"): "&#10;",
    ord("\t"): "&#9;",
}
_NEEDS_ESCAPE = re.compile("[&<>\"'\r\n\t]")


class XmlElement(Protocol):
    """What decoders use of an lxml element."""

    @property
    def tag(self) -> str: ...
    @property
    def text(self) -> str | None: ...
    def get(self, key: str, default: str = "") -> str: ...
    def __iter__(self) -> Iterator[XmlElement]: ...
    def __len__(self) -> int: ...


class StanzaParser:
    """Turns the bytes of one stanza into an element tree, or raises ``DecodeError``."""

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        self._parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            recover=False,
            collect_ids=False,
        )

    def parse(self, stanza: bytes) -> XmlElement:
        """``stanza`` is one element as the framer found it, without the stream around it."""
        try:
            # The prefix `stream:` is declared on the stream's own open tag, which we imitate.
            wrapped = etree.fromstring(_STREAM_OPEN + stanza + _STREAM_CLOSE, self._parser)
        except (etree.LxmlError, ValueError) as error:
            raise DecodeError(f"stanza is not well-formed XML: {error}", 0, XMPP_RFC) from error
        if len(wrapped) != 1:
            raise DecodeError("expected exactly one element", 0, XMPP_RFC)
        return cast("XmlElement", wrapped[0])


def local_name(element: XmlElement) -> str:
    """Return the tag without its namespace; agents in the field spell namespaces freely."""
    tag = element.tag
    return tag[tag.index("}") + 1 :] if tag[:1] == "{" else tag


def children_by_name(element: XmlElement) -> dict[str, XmlElement]:
    """Index the children by local name; of repeated names the last one wins."""
    return {local_name(child): child for child in element}


def escape(text: str) -> str:
    """Make ``text`` safe in attributes and content; characters XML cannot carry become U+FFFD."""
    if _FORBIDDEN_IN_XML.search(text):
        text = _FORBIDDEN_IN_XML.sub("\ufffd", text)
    return text.translate(_ESCAPES) if _NEEDS_ESCAPE.search(text) else text


def representable(text: str) -> str:
    """Return ``text`` as the far end will read it."""
    return _FORBIDDEN_IN_XML.sub("\ufffd", text)
