"""What the units of a desired state know of each other, and what must be computed again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network

from skytrail.agent.fabric import UNDERLAY_VIF_NAME
from skytrail.agent.fabric_config import FabricConfig
from skytrail.agent.fib import LearntRoute
from skytrail.agent.forwarding import Forwarding
from skytrail.agent.host_rows import HostRows
from skytrail.agent.identity import IdentityTable
from skytrail.agent.inputs import Inputs
from skytrail.agent.interface import PortInputs, PortState
from skytrail.agent.label import Numbers
from skytrail.agent.ledger import Claims, Published, PublishKey, Rank, RowClaims, Unit, Uses
from skytrail.agent.listeners import HeardListeners
from skytrail.agent.network_config import VirtualNetwork
from skytrail.agent.nexthop import NextHopTable
from skytrail.agent.outcome import RouteSource
from skytrail.agent.policy_rows import PolicyCompiler
from skytrail.agent.port_rows import ENCAPSULATION_TEXTS, FABRIC_INSTANCE, PortPlan, underlay_row
from skytrail.agent.route_order import Place
from skytrail.agent.shortage import Shortage
from skytrail.agent.tables import IpNetwork, QosId, Row, VifId, VrfId
from skytrail.agent.tunnel_ends import are_checked
from skytrail.net import IpAddress, Mac
from skytrail.wire.xmpp import EnetKey


class World:
    """The tables of one computation, its results, and what its units look up of each other."""

    def __init__(self, inputs: Inputs, numbers: Numbers, policies: PolicyCompiler) -> None:
        self.inputs = inputs
        self.numbers = numbers
        self.numbers.begin_cycle()
        self.policies = policies
        self.policies.begin()
        self.shortage = Shortage(numbers)
        self.uses = Uses()
        note = self.uses.note
        self.identities = IdentityTable(numbers.identity, lambda name: note("identity", name))
        self.nexthops = NextHopTable(
            numbers.nexthop, inputs.underlay, lambda name: note("nexthop", name)
        )
        self.encapsulations = [
            (kind, ENCAPSULATION_TEXTS[kind]) for kind in inputs.view.encapsulations
        ]
        # Results.
        self.rows = RowClaims()
        self.published: Claims[PublishKey, Published] = Claims()
        self.explained: Claims[Unit, tuple[RouteSource, ...]] = Claims()
        self.states: Claims[str, PortState] = Claims()
        self.vifs: Claims[VifId, str] = Claims()
        self.vrfs: Claims[str, VrfId] = Claims()
        # What units look up of each other.
        self.port_inputs: dict[str, PortInputs] = {}
        self.plans: dict[str, PortPlan] = {}
        self.members: dict[str, dict[str, VirtualNetwork]] = {}
        """VRF -> port uuid -> its network."""
        self.modes: dict[str, Forwarding] = {}
        """Of VRFs with members; others route what is led through them."""
        self.visited: dict[str, dict[str, VirtualNetwork]] = {}
        """VRF -> port that has a floating or alias address there -> the VRF's network."""
        self.guests: dict[str, dict[str, None]] = {}
        """VRF -> ports elsewhere whose policies lead there."""
        self.outlets: dict[str, dict[str, PortPlan]] = {}
        """VRF -> port by whose address its workloads leave."""
        self.offers: dict[Place, dict[str, PortPlan]] = {}
        self.own_labels: dict[int, PortPlan] = {}
        self.own_macs: dict[tuple[str, Mac], set[str]] = {}
        self.learnt_macs: dict[tuple[str, Mac], dict[str, int]] = {}
        """MACs learnt behind ports: by port, the sequence number."""
        self.own_addresses: dict[str, set[IpNetwork]] = {}
        self.enet: dict[tuple[str, Mac], dict[EnetKey, LearntRoute]] = {}
        self.listeners = HeardListeners()
        self.entered: set[str] = set()
        """VRFs whose learnt routes are taken in."""
        self.underlay_vrfs: set[str] = set()
        """VRFs of networks that the underlay routes: its routes are theirs as well."""
        self.underlay_offers: dict[IpNetwork, dict[str, PortPlan]] = {}
        self.macs_of: dict[Place, dict[Mac, None]] = {}
        """MACs that layer 2 routes give for an address."""
        # What must be computed again.
        self.dirty_vrfs: set[str] = set()
        self.dirty_ports: set[str] = set()
        self.dirty_floods: set[str] = set()
        self.dirty_places: set[Place] = set()
        self.dirty_macs: set[tuple[str, Mac]] = set()
        self.qos = HostRows(numbers.qos, self.rows)

    def used_changed(self, kind: str, name: str) -> None:
        """Whatever uses this must be computed again."""
        for rank, vrf, key in self.uses.users(kind, name):
            if rank == Rank.FLOOD:
                self.dirty_floods.add(vrf)
            elif rank == Rank.MAC and isinstance(key, Mac):
                self.dirty_macs.add((vrf, key))
            elif rank == Rank.PORT:
                self.dirty_ports.add(vrf)
            elif isinstance(key, IPv4Network | IPv6Network):
                self.dirty_places.add((vrf, key))

    def number(self, kind: str, name: str) -> int:
        """Return the number of a thing, which the unit in work uses from now on."""
        if kind == "qos":
            return self._qos_number(name)
        number = self.numbers.spaces()[kind].number(name)
        self.uses.note(kind, name)
        return number

    def _qos_number(self, name: str) -> int:
        """Return a configuration's number; 0, nothing is marked, when all are in use."""
        self.uses.note("qos", name)
        number = 0
        with self.shortage.noted((Rank.QOS, name, None)):
            number = self.numbers.qos.number(name)
            self.qos.use(name)
        return number

    def compute_lacking(self) -> bool:
        """Have what lacks a number computed again, if one was given back; True: there is some."""
        lacking = self.shortage.take()
        for rank, name, key in lacking:
            match rank:
                case Rank.PORT:
                    self.dirty_ports.add(name)
                case Rank.SERVICE:
                    self.dirty_vrfs.add(name)
                case Rank.SHARED | Rank.ROUTE if isinstance(key, IPv4Network | IPv6Network):
                    self.dirty_places.add((name, key))
                case Rank.MAC if isinstance(key, Mac):
                    self.dirty_macs.add((name, key))
                case Rank.FLOOD:
                    self.dirty_floods.update(self.members)
                case Rank.QOS:
                    self.used_changed("qos", name)
                case _:
                    pass
        return bool(lacking)

    def finish(self, unit: Unit, rows: Iterable[Row]) -> None:
        """Take a unit's rows, and what it noted to use."""
        self.rows.put(unit, rows)
        self.uses.keep(unit)

    def explain(self, unit: Unit, sources: Iterable[RouteSource]) -> None:
        """Remember why a unit's rows are as they are."""
        found = tuple(sources)
        if found:
            self.explained.claim(unit, unit, found)
        else:
            self.explained.release(unit, unit)

    def underlay_interface(self) -> None:
        """Claim the row of the interface to the underlay."""
        unit, is_routed = (Rank.UNDERLAY, "", None), bool(self.guests.get(FABRIC_INSTANCE))
        # Always there, for routes that no next hop is left for.
        self.nexthops.discard()
        row = underlay_row(
            self.inputs.underlay,
            VifId(self.number("vif", UNDERLAY_VIF_NAME)),
            VrfId(self.number("vrf", FABRIC_INSTANCE) if is_routed else 0),
            qos_id=QosId(self.number("qos", qos) if (qos := self.inputs.view.fabric_qos) else 0),
            replicator=self.replicator,
            translates=self.fabric.takes_ports,
            checks_ends=are_checked(self.inputs.view.tunnel_ends, self.inputs.underlay),
        )
        self.finish(unit, (row,))

    def mode(self, vrf: str) -> Forwarding:
        """Return how a VRF forwards."""
        return self.modes.get(vrf, Forwarding.BOTH)

    def is_own_address(self, vrf: str, prefix: IpNetwork) -> bool:
        """Tell whether the vRouter itself answers at a prefix."""
        return prefix in self.own_addresses.get(vrf, ())

    @property
    def in_use(self) -> tuple[NextHopTable, IdentityTable, Callable[[str, str], int]]:
        """What rows refer to. Not kept: it would keep this world when it is replaced."""
        return self.nexthops, self.identities, self.number

    @property
    def fabric(self) -> FabricConfig:
        """What workloads use of the underlay and the host."""
        found = self.inputs.view.fabric
        return found.apart() if self.inputs.underlay.address4 is None else found

    @property
    def replicator(self) -> IpAddress | None:
        """By which we copy for leaves: never the address at which copies end, nor one of another
        IP version, which no leaf of ours reaches.
        """
        address, underlay = self.inputs.view.replicator, self.inputs.underlay
        if address is None or address == underlay.address or not underlay.reaches(address):
            return None
        return address

    def forget_changes(self) -> None:
        """Everything that had to be is computed again."""
        self.dirty_floods, self.dirty_ports = set(), set()
        self.dirty_vrfs, self.dirty_places, self.dirty_macs = set(), set(), set()
