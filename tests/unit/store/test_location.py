"""What operators write as the place of a store."""

from pathlib import Path

import pytest

from skytrail.store.location import (
    EtcdLocation,
    EtcdTls,
    EtcdUser,
    LocationInvalid,
    SqliteLocation,
    parse_location,
)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("/var/lib/x", SqliteLocation(Path("/var/lib/x/config.db"))),
        ("/var/lib/x/other.db", SqliteLocation(Path("/var/lib/x/other.db"))),
        ("etcd://a:1,b:2", EtcdLocation(("a:1", "b:2"))),
        ("etcd://a", EtcdLocation(("a:2379",))),
        ("etcd://[::1]:5,[::2]", EtcdLocation(("[::1]:5", "[::2]:2379"))),
        ("etcd://a:1?ca=/c", EtcdLocation(("a:1",), EtcdTls(Path("/c")))),
        (
            "etcd://a:1?ca=/c&cert=/d&key=/e",
            EtcdLocation(("a:1",), EtcdTls(Path("/c"), Path("/d"), Path("/e"))),
        ),
        (
            "etcd://a:1?ca=/c&user=x&password-file=/p",
            EtcdLocation(("a:1",), EtcdTls(Path("/c")), EtcdUser("x", Path("/p"))),
        ),
        (
            "etcd://127.0.0.1,[::1],localhost?user=x&password-file=/p",
            EtcdLocation(
                ("127.0.0.1:2379", "[::1]:2379", "localhost:2379"),
                user=EtcdUser("x", Path("/p")),
            ),
        ),
    ],
)
def test_location_is_read(text, location):
    assert parse_location(text) == location


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("http://a:1", "neither"),
        ("etcd://", "no member"),
        ("etcd://a:x", "HOST:PORT"),
        ("etcd://a:70000", "HOST:PORT"),
        ("etcd://a:1,a:1", "twice"),
        ("etcd://a:1/path", "nothing may follow"),
        ("etcd://a:1?cert=/d", "TLS needs"),
        ("etcd://a:1?ca=/c&cert=/d", "TLS needs"),
        ("etcd://a:1?password=x", "unknown option password"),
        ("etcd://a:1?ca=", "ca= says nothing"),
        ("etcd://a:1?ca=/c&user=x", "go together"),
        ("etcd://a:1?ca=/c&password-file=/p", "go together"),
        ("etcd://a:1?user=x&password-file=/p", "only over TLS"),
        ("etcd://127.0.0.1,a?user=x&password-file=/p", "only over TLS"),
    ],
)
def test_what_names_no_store_is_refused_with_the_reason(text, reason):
    with pytest.raises(LocationInvalid, match=reason):
        parse_location(text)


def test_refusals_repeat_no_password(tmp_path):
    with pytest.raises(LocationInvalid) as refusal:
        parse_location("etcd://a:1?ca=/c&password=hunter2")
    assert "hunter2" not in str(refusal.value)
