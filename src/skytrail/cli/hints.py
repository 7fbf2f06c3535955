"""What to do about an API that does not answer as it should; pure."""

from __future__ import annotations

import re

from skytrail.cli.place import API_VARIABLE, SOCKET_VARIABLE

_START = (
    "Start a controller with `skytrail up --data DIR`, or say where it is with"
    f" --api URL, --api-socket PATH, --lab NAME, {API_VARIABLE} or {SOCKET_VARIABLE}."
)
_NO_PARENT = re.compile(r"Parent \[.*\] type (?P<kind>[\w-]+) does not exist")
_OTHER = "Something that is not this API answers there; say where the API is with --api URL."


def scheme_problem(url: str | None) -> str | None:
    """Return what is wrong with an address that names no scheme, None when nothing is."""
    if not url or url.startswith(("http://", "https://")):
        return None
    return f"{url!r} is not an address of the API; write http://{url.rpartition('//')[2]}"


def parent_advice(text: str) -> str | None:
    """Return what to do about an object whose parent is not there, or not for the caller to see."""
    found = _NO_PARENT.search(text)
    if found is None:
        return None
    kind = found["kind"]
    if kind != "project":
        return f"`skytrail get {kind}` lists what there is; write the full name."
    return (
        "Name a project of yours: SKYTRAIL_PROJECT=DOMAIN:PROJECT, or the full name"
        " DOMAIN:PROJECT:NAME; `skytrail get project` lists them."
    )


def advice_for(text: str) -> str:
    """Return what to do about a failure to get an answer."""
    if "CERTIFICATE_VERIFY_FAILED" in text and "mismatch" in text:
        return (
            "Call the server by a name or address of its certificate, such as its host name; "
            "`openssl x509 -noout -ext subjectAltName -in FILE` lists them."
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "Name who signed the server's certificate with --ca FILE."
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return "The server there speaks plain HTTP: write http:// instead of https://."
    if "disconnected without sending" in text:
        return "The server may speak TLS: write https:// instead of http://."
    if "cannot serve now" in text:
        return "The API is there but not ready; try again, and look at its log and its store."
    if "the answer is not one of this API" in text or "the answer has no" in text:
        return _OTHER
    return _START
