"""The fake datapath does what the seam promises; ``bpf/tests`` asks the kernel's the same."""

import pytest

from skytrail.agent.trace import DELIVERED, FORWARDED, RECEIVED
from skytrail.testing.datapath_cases import CASES, SENDER, Fate
from skytrail.testing.fake_datapath import FakeDatapath
from skytrail.testing.fake_traffic import Way


class FakeSubject:
    ifindex = 10

    def __init__(self):
        self.datapath = FakeDatapath()

    def send(self, packet):
        return self._fate(self.datapath.carry(Way(SENDER), packet))

    def arrive(self, kind, number, packet):
        return self._fate(self.datapath.carry(Way(incoming=(kind, number)), packet))

    def later(self, seconds):
        return self.datapath.traffic.now_s + seconds

    @staticmethod
    def _fate(trace):
        match trace.outcome:
            case str(outcome) if outcome == DELIVERED:
                return Fate(delivered=trace.vif_id)
            case str(outcome) if outcome == FORWARDED:
                return Fate(sent=(trace.remote, trace.encapsulation, trace.label))
            case str(outcome) if outcome == RECEIVED:
                return Fate(punted=True)
            case _:
                return Fate(dropped=trace.drop_reason)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_fake_datapath(case):
    subject = FakeSubject()
    case(subject)
    subject.datapath.close()
