"""Rows on their way to the store, and how far everybody was heard."""

from __future__ import annotations

import json

import pytest

from skytrail.analytics.io.spool import Spool, SpoolUnusable
from skytrail.analytics.pieces import (
    ROWS,
    Bundle,
    Heard,
    Part,
    Piece,
    Position,
    Range,
    Told,
    rows_part,
)


def test_halves_of_rows_are_the_rows_with_tokens_of_their_own():
    piece = Piece("message", ROWS, "t", [rows_part({"a": [1, 2, 3], "b": [4, 5, 6]}, 3)])

    first, second = piece.halves()

    assert [(each.count, json.loads(each.body())) for each in (first, second)] == [
        (1, {"a": [1], "b": [4]}),
        (2, {"a": [2, 3], "b": [5, 6]}),
    ]
    assert (first.token, second.token) == ("t0", "t1")
    assert [half.token for half in second.halves()] == ["t10", "t11"]
    assert not first.halves()


def test_halves_of_blocks_are_blocks():
    piece = Piece("session", "Native", "t", [Part(2, b"x"), Part(1, b"y"), Part(4, b"z")])

    assert [(each.count, each.body()) for each in piece.halves()] == [(2, b"x"), (5, b"yz")]
    assert not Piece("session", "Native", "t", [Part(2, b"x")]).halves()


def test_message_that_is_said_again_is_not_new():
    heard = Heard()
    heard.begin("h1", 7)

    assert [heard.is_new("h1", number) for number in (1, 2, 2, 1, 3, 0, 0)] == [
        *(True, True, False, False, True),
        *(True, True),
    ]


def test_process_is_told_what_is_kept_of_its_own_run_only():
    heard = Heard()
    heard.begin("h1", 7)
    heard.is_new("h1", 5)

    assert heard.begin("h1", 7) == 0
    assert heard.keep(heard.positions()) == {"h1": 5}
    assert heard.keep(heard.positions()) == {}
    assert heard.begin("h1", 7) == 5
    assert not heard.is_new("h1", 5)
    assert heard.begin("h1", 8) == 0
    assert heard.is_new("h1", 1)


def test_what_another_node_keeps_is_not_new_here():
    heard = Heard()

    assert heard.begin("h1", 7, 5) == 5
    assert [heard.is_new("h1", number) for number in (5, 6)] == [False, True]
    assert heard.of("h1", 7) == (6, 0)
    assert heard.begin("h1", 7, 4) == 4
    assert not heard.is_new("h1", 6)
    assert heard.of("h1", 8) == (0, 0)


def test_what_a_former_process_kept_is_not_new_to_the_next():
    heard = Heard()
    heard.kept = {"h1": Position(7, 5)}

    assert heard.begin("h1", 7) == 5
    assert not heard.is_new("h1", 5)
    assert heard.is_new("h1", 6)


def bundle(number):
    return Bundle(
        [Piece("session", "Native", f"t{number}", [Part(1, b"x")])], {"h1": Position(7, number)}, 9
    )


def test_bundles_are_there_after_a_restart_in_their_order(tmp_path):
    spool = Spool(tmp_path)
    for number in (1, 2, 3):
        spool.add(bundle(number))
    spool.done(spool.first())

    again = Spool(tmp_path)

    assert again.settled == bundle(3)
    assert [again.first(), len(again)] == [bundle(2), 2]
    again.add(bundle(4))
    for number in (2, 3, 4):
        assert again.first() == bundle(number)
        again.done(again.first())
    assert again.first() is None
    assert again.bytes_count == 0
    assert Spool(tmp_path).settled.positions == {"h1": Position(7, 4)}


def test_half_written_bundle_was_never_there(tmp_path):
    spool = Spool(tmp_path)
    spool.add(bundle(1))
    (tmp_path / "0000000000000002.new").write_bytes(b"\x93")

    assert len(Spool(tmp_path)) == 1


def test_bundle_that_cannot_be_read_is_put_aside(tmp_path):
    spool = Spool(tmp_path)
    spool.add(bundle(1))
    spool.add(bundle(2))
    (tmp_path / "0000000000000001.bundle").write_bytes(b"junk")

    again = Spool(tmp_path)
    with pytest.raises(SpoolUnusable, match="bundle"):
        again.first()
    again.skip()

    assert again.first() == bundle(2)
    assert (tmp_path / "0000000000000001.unreadable").exists()


@pytest.mark.parametrize("is_on_disk", [True, False])
def test_spool_says_when_it_is_full(tmp_path, is_on_disk):
    spool = Spool(tmp_path if is_on_disk else None, bytes_max=50)
    while spool.has_room:
        spool.add(bundle(len(spool)))

    assert len(spool) < 5
    spool.done(spool.first())
    assert spool.has_room
    assert spool.is_durable == is_on_disk


def test_rows_of_some_messages_are_set_aside_from_the_others():
    rows = rows_part({"a": [1, 2, 3]}, 3, [Told("h1", 7, [4, 5]), Told("", 0, [0])])
    block, other = Part(2, b"x", [Told("h1", 7, [6])]), Part(1, b"y", [Told("h2", 7, [5])])
    whole = Bundle(
        [Piece("message", ROWS, "t", [rows]), Piece("session", "Native", "u", [block, other])],
        {},
        9,
    )

    stays, aside = whole.divided(lambda name, run, number: (name, run) == ("h1", 7) and number > 4)

    assert whole.ranges() == [Range("h1", 7, 4, 6), Range("h2", 7, 5, 5)]
    assert [(each.token, each.count, each.body()) for each in stays.pieces] == [
        ("t", 2, b'{"a":[1,3]}'), ("u", 1, b"y"),
    ]  # fmt: skip
    assert [(each.token, each.count, each.body()) for each in aside] == [
        ("ta", 1, b'{"a":[2]}'), ("ua", 2, b"x"),
    ]  # fmt: skip
    assert Bundle(aside, {}, 9).ranges() == [Range("h1", 7, 5, 6)]
    assert stays.ranges() == [Range("h1", 7, 4, 4), Range("h2", 7, 5, 5)]
    assert (whole.is_judged, stays.is_judged) == (False, True)


def test_what_is_set_aside_is_there_after_a_restart(tmp_path):
    spool = Spool(tmp_path)
    spool.add(bundle(1))
    aside = [Piece("session", "Native", "t1a", [Part(1, b"z", [Told("h1", 7, [3])])])]
    stays = Bundle([], {"h1": Position(7, 3)}, 9, is_judged=True)

    spool.set_aside(stays, aside)
    again = Spool(tmp_path)

    assert again.first() == stays
    assert [ranges for _, ranges in again.aside.values()] == [[Range("h1", 7, 3, 3)]]
    again.done(again.first())
    last = Spool(tmp_path)
    assert last.read_aside(1).pieces == aside
    last.add(bundle(2))
    assert (tmp_path / "0000000000000002.bundle").exists()
    last.aside_done(1)
    assert not Spool(tmp_path).aside


def test_rows_set_aside_before_the_bundle_was_written_without_them_are_in_one_place(tmp_path):
    spool = Spool(tmp_path)
    spool.add(bundle(1))
    (tmp_path / "0000000000000001.aside").write_bytes(
        (tmp_path / "0000000000000001.bundle").read_bytes()
    )

    again = Spool(tmp_path)

    assert not again.aside
    assert again.first() == bundle(1)


def test_bundle_that_was_judged_is_not_judged_again(tmp_path):
    spool = Spool(tmp_path)
    spool.add(bundle(1))
    spool.add(bundle(2))
    spool.judged()

    again = Spool(tmp_path)

    assert again.first().is_judged
    again.done(again.first())
    assert not again.first().is_judged
    again.done(again.first())
    third = Spool(tmp_path)
    third.add(bundle(3))
    assert not third.first().is_judged


@pytest.mark.parametrize("file", ["0000000000000001.bundle", "settled"])
def test_a_bit_that_is_another_is_noticed_wherever_it_is(tmp_path, file):
    spool = Spool(tmp_path)
    for number in (1, 2):
        spool.add(bundle(number))
    if file == "settled":
        spool.done(bundle(1))
        spool.done(bundle(2))
    whole = (tmp_path / file).read_bytes()

    for place in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        (tmp_path / file).write_bytes(changed)
        again = Spool(tmp_path)
        if file == "settled":
            assert again.settled is None
        else:
            with pytest.raises(SpoolUnusable, match="bundle"):
                again.first()


def test_files_of_others_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "notes.bundle").write_bytes(b"mine")

    assert Spool(tmp_path).first() is None
    assert (tmp_path / "notes.bundle").read_bytes() == b"mine"
