"""Protocol numbers that must not be mixed up with each other."""

from __future__ import annotations

from typing import NewType

Label = NewType("Label", int)
"""MPLS label, 0..1048575; 0..15 are reserved (RFC 3032 section 2.1)."""

Vni = NewType("Vni", int)
"""VXLAN network identifier, 1..16777215 (RFC 7348 section 5)."""

Asn = NewType("Asn", int)
"""Autonomous system number, 1..4294967295 (RFC 6793)."""
