"""Reads devices by SNMP (versions 2c and 3): columns of tables, in bulk, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from pyasn1.error import PyAsn1Error
from pysnmp.error import PySnmpError
from pysnmp.hlapi.v3arch import asyncio as snmp

from skytrail.analytics.snmp_devices import PORT, Community, SnmpDevice, User
from skytrail.analytics.snmp_tables import Oid, Read, Value

CELLS_MAX: Final = 20_000
"""Of one column; a device that goes on for ever ends there."""
DEVICE_S: Final = 60.0
"""For everything that is asked of a device at a time."""
_REPETITIONS: Final = 25
_AUTHENTICATION: Final = {
    "md5": snmp.usmHMACMD5AuthProtocol,
    "sha": snmp.usmHMACSHAAuthProtocol,
    "sha224": snmp.usmHMAC128SHA224AuthProtocol,
    "sha256": snmp.usmHMAC192SHA256AuthProtocol,
    "sha384": snmp.usmHMAC256SHA384AuthProtocol,
    "sha512": snmp.usmHMAC384SHA512AuthProtocol,
}
_PRIVACY: Final = {
    "des": snmp.usmDESPrivProtocol,
    "aes": snmp.usmAesCfb128Protocol,
    "aes192": snmp.usmAesCfb192Protocol,
    "aes256": snmp.usmAesCfb256Protocol,
}


class DeviceSilent(Exception):
    """A device did not answer, or not in a way that is of use; the text says which."""


async def read(device: SnmpDevice, columns: Sequence[Oid], port: int = PORT) -> Read:
    """Read columns (or subtrees) of a device; :class:`DeviceSilent`."""
    # An engine of its own: what one device's security parameters do to it ends with it.
    engine = snmp.SnmpEngine()
    try:
        async with asyncio.timeout(DEVICE_S):
            return await _read(engine, device, columns, port)
    except TimeoutError as error:
        raise DeviceSilent(f"more than {DEVICE_S:.0f} s for its tables") from error
    except (PySnmpError, PyAsn1Error, OSError, ValueError) as error:
        # Errors of the library may quote what it was given: names of types are enough.
        raise DeviceSilent(f"its answers are of no use ({type(error).__name__})") from error
    finally:
        engine.close_dispatcher()


async def _read(
    engine: snmp.SnmpEngine, device: SnmpDevice, columns: Sequence[Oid], port: int
) -> Read:
    kind = snmp.Udp6TransportTarget if ":" in device.address else snmp.UdpTransportTarget
    target = await kind.create(
        (device.address, port), timeout=device.timeout_s, retries=device.retries
    )
    context = snmp.ContextData(
        contextName=(device.who.context if isinstance(device.who, User) else "").encode()
    )
    found = Read()
    for column in columns:
        said = snmp.ObjectType(snmp.ObjectIdentity(column))
        walk = snmp.bulk_walk_cmd(
            engine, _credentials(device.who), target, context, 0, _REPETITIONS, said,
            lexicographicMode=False, lookupMib=False, maxRows=CELLS_MAX,
        )  # fmt: skip
        async for failed, status, _, cells in walk:
            if failed:
                raise DeviceSilent(str(failed)[:128])
            if status:
                # What it has not, of a table, is no reason to do without the others.
                break
            for oid, value in cells:
                if (told := _value(value)) is not None:
                    found.rows[tuple(oid)] = told
    return found


def _value(value: object) -> Value | None:
    if isinstance(value, snmp.OctetString):
        return value.asOctets()
    if isinstance(value, snmp.Integer | snmp.Integer32 | snmp.Unsigned32 | snmp.Counter64):
        return int(value)
    # Counter32, Gauge32 and TimeTicks are Unsigned32 nowhere but in value.
    return int(value) if isinstance(value, snmp.Counter32 | snmp.Gauge32 | snmp.TimeTicks) else None


def _credentials(who: Community | User) -> snmp.CommunityData | snmp.UsmUserData:
    if isinstance(who, Community):
        # Many switches speak nothing newer; the operator chose it in the device's object.
        return snmp.CommunityData(who.name, mpModel=1)  # noqa: S508
    return snmp.UsmUserData(
        who.name,
        who.authentication_key or None,
        who.privacy_key or None,
        authProtocol=_AUTHENTICATION.get(who.authentication, snmp.usmNoAuthProtocol),
        privProtocol=_PRIVACY.get(who.privacy, snmp.usmNoPrivProtocol),
    )
