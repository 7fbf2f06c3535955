"""Who is told of which alarms, what they are told, and what is withheld during maintenance."""

from __future__ import annotations

import asyncio

import pytest

from skytrail.analytics.alarm_routes import (
    Notice,
    RoutesUnusable,
    mail_of,
    routes_of,
    signature,
    webhook_body,
)
from skytrail.analytics.collector import Collector
from skytrail.analytics.configured import quiet_until_us
from skytrail.analytics.io import alarm_delivery
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.watchman import Watchman
from skytrail.wire.telemetry import Uve

HOOK = 'webhook = "https://chat.example/hook"\n'
MAIL = (
    'email = ["noc@example.net"]\nsender = "skytrail@example.net"\nsmtp = "mail.example.net:25"\n'
)
HOUR_US = 3_600_000_000


def route(text=HOOK):
    (made,) = routes_of(f'[[route]]\nname = "one"\n{text}'.encode())
    return made


def notice(**members):
    fields = {
        "is_raised": True, "type": "vrouter", "name": "h1", "severity": 1, "at_us": 0,
        "rule": "default-global-system-config:system-defined-node-status",
        "description": "A node is silent",
    }  # fmt: skip
    return Notice(**{**fields, **members})


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("", True),
        ("severity = 1\n", True),
        ("severity = 0\n", False),
        ('types = ["control-node", "vrouter"]\n', True),
        ('types = ["control-node"]\n', False),
        ('rules = ["system-defined-node*"]\n', True),
        ('rules = ["disk*", "*-status"]\n', True),
        ('rules = ["disk*"]\n', False),
    ],
)
def test_route_hears_what_it_asks_for(text, wants):
    assert route(text + HOOK).wants(notice()) is wants


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "webhook or email"),
        (HOOK + MAIL, "webhook or email"),
        ('webhook = "ftp://x"\n', "webhook"),
        ('webhook = "http://[::1"\n', "webhook"),
        (HOOK + "severity = 3\n", "severity"),
        (HOOK + 'types = ["vrouters"]\n', "vrouters"),
        (HOOK + "colour = 1\n", "colour"),
        (MAIL.replace("noc@example.net", "noc"), "noc"),
        (MAIL.replace("noc@example.net", "a@b\\nBcc: c@d"), "email"),
        (MAIL.replace(":25", ""), "smtp"),
        (MAIL.replace(":25", ":0"), "smtp"),
        (MAIL.replace(":25", ":0655359999"), "smtp"),
        (MAIL + 'smtp_tls = "ssl"\n', "smtp_tls"),
        (MAIL + 'smtp_tls = "none"\nsmtp_password_file = "x"\n', "clear"),
        (HOOK + "x", "key"),
    ],
)
def test_file_that_cannot_be_used_is_refused_with_the_place(text, word):
    with pytest.raises(RoutesUnusable, match=word):
        route(text)


def test_two_routes_of_one_name_are_refused():
    with pytest.raises(RoutesUnusable, match="name of its own"):
        routes_of(f'[[route]]\nname = "a"\n{HOOK}[[route]]\nname = "a"\n{HOOK}'.encode())


def test_webhook_is_told_as_text_and_by_member():
    body = webhook_body([notice(), notice(is_raised=False)], "node1").decode()

    assert '"text":"MAJOR vrouter h1: A node is silent (system-defined-node-status)\\nGONE' in body
    assert '"event":"raised"' in body
    assert '"severity":"major"' in body
    # As openssl dgst -sha256 -hmac computes it.
    assert signature(b"{}", b"key") == (
        "sha256=a777724d943eb48dc69bca8a4a6d57a04db3f9ec7e1de4e581e860265bdf3032"
    )


def test_name_out_of_the_network_ends_no_header_of_a_mail():
    mail = mail_of(route(MAIL), [notice(name="h1\r\nBcc: all@example.net")], "node1")

    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("[skytrail node1] MAJOR vrouter h1 Bcc:")


def annotated(value):
    return {"annotations": {"key_value_pair": [{"key": "maintenance-until", "value": value}]}}


def test_time_of_maintenance_is_read_from_a_nodes_annotation():
    assert quiet_until_us(annotated("2026-11-28T04:00:00Z")) == 1_795_838_400_000_000
    assert quiet_until_us(annotated("2026-11-28T05:00:00+01:00")) == 1_795_838_400_000_000
    assert quiet_until_us(annotated("2026-11-28T04:00")) == 1_795_838_400_000_000
    assert quiet_until_us({}) == 0
    with pytest.raises(ValueError, match="tomorrow"):
        quiet_until_us(annotated("tomorrow"))


def test_place_that_no_request_can_have_is_tried_again_and_counted(monkeypatch):
    monkeypatch.setattr(alarm_delivery, "GATHER_S", 0.0)
    place = route('webhook = "http://exa\\u0001mple/hook"\n')

    async def told():
        delivery = alarm_delivery.AlarmDelivery([place], "node1")
        delivery.tell(notice())
        task = asyncio.create_task(delivery.run())
        while not task.done() and not delivery.counts()[0][2]:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        is_alive = not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return is_alive, delivery.counts()

    is_alive, counts = asyncio.run(told())

    assert is_alive
    assert counts == [("one", 0, 1, 0)]


class Scene:
    """A host whose ports fail and recover."""

    def __init__(self):
        self.collector, self.told = Collector(), []
        self.watchman = Watchman(self.collector, "node1")
        self.watchman.tell_people = lambda each: self.told.append((each.is_raised, each.name))
        self.now = 0.0

    def ports_down(self, count):
        fields = {"down_interface_count": count, "self_ip_list": ["10.0.0.1"]}
        uve = Uve(table="ObjectVRouter", key="h1", struct="VrouterAgent", fields=fields)
        self.collector.apply(change_of("h1:Compute:agent:0", uve), self.now)
        status = Uve(
            table="ObjectVRouter", key="h1", struct="NodeStatus",
            fields={"process_status": [{"state": "Functional", "module_id": "agent"}]},
        )  # fmt: skip
        self.collector.apply(change_of("h1:Compute:agent:0", status), self.now)

    def run(self, seconds):
        for _ in range(seconds):
            self.now += 1.0
            self.watchman.tick(self.now, round(self.now * 1e6))


def test_people_are_told_when_an_alarm_is_raised_and_when_it_goes():
    scene = Scene()
    scene.ports_down(1)
    scene.run(120)
    assert scene.told == [(True, "h1")]

    scene.ports_down(0)
    scene.run(120)
    assert scene.told == [(True, "h1"), (False, "h1")]


def test_what_comes_and_goes_during_maintenance_is_told_to_nobody():
    scene = Scene()
    scene.watchman.set_maintenance({("ObjectVRouter", "h1"): HOUR_US})
    scene.ports_down(1)
    scene.run(120)
    scene.ports_down(0)
    scene.run(120)

    assert scene.told == []
    assert not list(scene.watchman.board.all_raised())


def test_what_stands_after_maintenance_is_told_then():
    scene = Scene()
    scene.watchman.set_maintenance({("ObjectVRouter", "h1"): 200_000_000})
    scene.ports_down(1)
    scene.run(150)
    assert scene.told == []
    assert list(scene.watchman.board.all_raised()), "it is shown all the time"

    scene.run(60)
    assert scene.told == [(True, "h1")]
