"""Address families: pairs of AFI and SAFI (RFC 4760), the private one of overlay trees included."""

from __future__ import annotations

import enum

AFI_IPV4 = 1
AFI_IPV6 = 2


class BgpFamily(enum.Enum):
    """The families this code knows; the value is (AFI, SAFI)."""

    INET = (1, 1)
    INET6 = (2, 1)
    INET_LABELLED = (1, 4)
    INET6_LABELLED = (2, 4)
    INET_VPN = (1, 128)
    INET6_VPN = (2, 128)
    EVPN = (25, 70)
    ROUTE_TARGET = (1, 132)
    ERMVPN = (1, 243)
    MVPN = (1, 5)

    @property
    def afi(self) -> int:
        return self.value[0]

    @property
    def safi(self) -> int:
        return self.value[1]

    @property
    def packed(self) -> bytes:
        """AFI and SAFI as MP_REACH_NLRI and End-of-RIB carry them (three bytes)."""
        return self.value[0].to_bytes(2) + self.value[1].to_bytes(1)

    # Members are singletons, so identity will do; Enum's own hash is a Python call on hot paths.
    __hash__ = object.__hash__


_BY_VALUE: dict[tuple[int, int], BgpFamily] = {family.value: family for family in BgpFamily}


def family_of(afi: int, safi: int) -> BgpFamily | None:
    """Return the family, or None when it is not one of ours."""
    return _BY_VALUE.get((afi, safi))
