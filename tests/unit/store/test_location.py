"""What operators write as the place of a store."""

from pathlib import Path

import pytest

from skytrail.store.location import (
    EtcdLocation,
    EtcdTls,
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
        ("etcd://a:1?user=x", "unknown option user"),
    ],
)
def test_what_names_no_store_is_refused_with_the_reason(text, reason):
    with pytest.raises(LocationInvalid, match=reason):
        parse_location(text)
