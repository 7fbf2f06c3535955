"""Numbers that outlive the agent: vifs, VRFs, labels, next hops, identities, policies, rules.

A number is found by a stable name, so a restarted agent that reads the saved names gives every
interface the number live flows and other hosts' routes already use. Freed numbers are reused as
late as possible: allocation goes round the space, and names nobody wants keep theirs until the
space is full or ``retired_count_max`` of them are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skytrail.agent.share import COPY_LABEL_FIRST

QOS_COUNT_MAX = 4095
"""QoS configurations in use, below ``QOS_MAP_COUNT_MAX`` in ``bpf/include/abi_qos.h``."""

RETIRED_COUNT_MAX = 4096
IDENTITY_CLASS_LAST = 65534
"""One more is nobody's: what lacks a class is denied."""
VIF_LAST = 32767
"""The host's own services tell interfaces by 15 bits of an address (``fabric``)."""


class NumbersExhausted(Exception):
    """Every number of a space is in use; the text names the space."""


class NumberSpace:
    """Names to numbers in ``first..last``; O(1) amortised."""

    def __init__(self, name: str, first: int, last: int) -> None:
        self.changes = 0
        """Grows whenever what :meth:`save` returns has changed."""
        self.freed = 0
        """Grows whenever a number is wanted no more."""
        self._name = name
        self._first, self._last = first, last
        self._next = first
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._reserved: set[int] = set()
        self._touched: set[str] = set()
        self._retired: dict[str, None] = {}
        """Names not wanted by the last cycle, oldest first."""

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, name: str) -> int:
        """Return the number of ``name``, allocating one if needed, and mark it wanted.

        Raises ``NumbersExhausted`` when even the retired names' numbers are used up.
        """
        self._retired.pop(name, None)
        number = self._numbers.get(name)
        if number is None:
            number = self._allocate()
            self._numbers[name] = number
            self._names[number] = name
            self.changes += 1
        self._touched.add(name)
        return number

    def find(self, name: str) -> int | None:
        return self._numbers.get(name)

    def name(self, number: int) -> str | None:
        return self._names.get(number)

    def items(self) -> Iterable[tuple[str, int]]:
        return self._numbers.items()

    def reserve(self, numbers: Iterable[int]) -> None:
        """Never allocate these: the kernel holds rows under them whose names are lost."""
        self._reserved.update(number for number in numbers if number not in self._names)

    def clear_reserved(self) -> None:
        self._reserved.clear()

    def begin_cycle(self) -> None:
        """Start a full recompute, which asks for every name that is wanted."""
        self._touched = set()

    def retire(self, name: str) -> None:
        """Nobody wants this name any more; :meth:`number` brings it back."""
        self._touched.discard(name)
        if name in self._numbers:
            self.freed += 1
            self._retired[name] = None
            if len(self._retired) > RETIRED_COUNT_MAX:
                self._forget_oldest()

    def finish_cycle(self, retired_count_max: int = RETIRED_COUNT_MAX) -> None:
        """End a full recompute: names not asked for since its start become retired."""
        if len(self._touched) + len(self._retired) < len(self._numbers):
            for name in self._numbers:
                if name not in self._touched and name not in self._retired:
                    self.freed += 1
                    self._retired[name] = None
        self._touched = set()
        while len(self._retired) > retired_count_max:
            self._forget_oldest()

    def load(self, numbers: Mapping[str, int], next_number: int) -> None:
        """Take over saved names; entries outside the space or twice are ignored."""
        for name, number in numbers.items():
            if self._first <= number <= self._last and number not in self._names:
                self._numbers[name] = number
                self._names[number] = name
        if self._first <= next_number <= self._last:
            self._next = next_number

    def save(self) -> tuple[Mapping[str, int], int]:
        """Return what :meth:`load` takes."""
        return dict(self._numbers), self._next

    def _allocate(self) -> int:
        size = self._last - self._first + 1
        for _ in range(size):
            number = self._next
            self._next = number + 1 if number < self._last else self._first
            if number not in self._names and number not in self._reserved:
                return number
        if self._retired:
            return self._forget_oldest()
        raise NumbersExhausted(f"all {size} numbers of {self._name} are in use")

    def _forget_oldest(self) -> int:
        name = next(iter(self._retired))
        del self._retired[name]
        number = self._numbers.pop(name)
        del self._names[number]
        self.changes += 1
        return number


class Numbers:
    """Every number space of an agent, saved and loaded together."""

    def __init__(self) -> None:
        self.vif = NumberSpace("vif", 1, VIF_LAST)
        self.vrf = NumberSpace("vrf", 1, 65535)
        self.nexthop = NumberSpace("next hop", 1, 65535)
        self.label = NumberSpace("label", 16, COPY_LABEL_FIRST - 1)
        self.copy = NumberSpace("service copy", COPY_LABEL_FIRST // 2, COPY_LABEL_FIRST - 1)
        self.identity = NumberSpace("identity", 1, 65535)
        self.policy = NumberSpace("policy", 1, 65535)
        self.identity_class = NumberSpace("identity class", 1, IDENTITY_CLASS_LAST)
        self.source_cell = NumberSpace("source port cell", 1, 65535)
        self.rule = NumberSpace("rule", 1, (1 << 24) - 1)
        self.qos = NumberSpace("QoS configuration", 1, QOS_COUNT_MAX)
        self.mirror = NumberSpace("mirror", 1, 255)
        self._spaces: Mapping[str, NumberSpace] = {
            "vif": self.vif,
            "vrf": self.vrf,
            "nexthop": self.nexthop,
            "label": self.label,
            "copy": self.copy,
            "identity": self.identity,
            "policy": self.policy,
            "identity_class": self.identity_class,
            "source_cell": self.source_cell,
            "rule": self.rule,
            "qos": self.qos,
            "mirror": self.mirror,
        }

    def spaces(self) -> Mapping[str, NumberSpace]:
        """Return them by the kind of what they number."""
        return self._spaces

    def begin_cycle(self) -> None:
        for space in self.spaces().values():
            space.begin_cycle()

    def finish_cycle(self) -> None:
        for space in self.spaces().values():
            space.finish_cycle()

    def clear_reserved(self) -> None:
        """The kernel holds nothing any more whose name was lost."""
        for space in self.spaces().values():
            space.clear_reserved()

    @property
    def changes(self) -> int:
        """Differs from an earlier value when there is something to save."""
        return sum(space.changes for space in self.spaces().values())

    @property
    def freed(self) -> int:
        """Differs from an earlier value when numbers were given back."""
        return sum(space.freed for space in self.spaces().values())

    def save(self) -> dict[str, tuple[Mapping[str, int], int]]:
        return {name: space.save() for name, space in self.spaces().items()}

    def load(self, saved: Mapping[str, tuple[Mapping[str, int], int]]) -> None:
        for name, space in self.spaces().items():
            if name in saved:
                space.load(*saved[name])
