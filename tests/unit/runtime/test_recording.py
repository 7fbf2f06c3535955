import os

import pytest

from skytrail.runtime import recording
from skytrail.runtime.recording import Recorder, RecordingInvalid


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path / "made", "control1")


def only_file(recorder):
    (path,) = recorder.folder.iterdir()
    return path


def chunks_of(path):
    _, chunks = recording.read(path)
    return [(each.direction, each.data) for each in chunks]


def test_what_was_noted_is_read_again_with_who_spoke(recorder):
    session = recorder.start("bgp", "default-domain:p:mx1")
    session.note("in", b"\xff\x00")
    session.note("out", b"a", b"b")
    session.close()

    header, chunks = recording.read(only_file(recorder))
    assert (header.protocol, header.node, header.peer) == (
        "bgp",
        "control1",
        "default-domain:p:mx1",
    )
    found = list(chunks)
    assert [(each.direction, each.data) for each in found] == [
        ("in", b"\xff\x00"), ("out", b"a"), ("out", b"b"),
    ]  # fmt: skip
    assert found == sorted(found, key=lambda each: each.time_s)


def test_recordings_are_for_their_owner_alone_and_no_name_leaves_the_folder(recorder):
    recorder.start("xmpp", "../../etc/passwd").close()

    assert only_file(recorder).stat().st_mode & 0o777 == 0o600


def test_flushed_is_there_although_the_process_was_killed(recorder):
    session = recorder.start("bgp", "mx1")
    session.note("in", b"kept")
    recorder.flush()
    assert chunks_of(only_file(recorder)) == [("in", b"kept")]


def test_cut_off_line_is_left_out(recorder):
    session = recorder.start("bgp", "mx1")
    session.note("in", b"whole")
    session.note("in", b"torn")
    session.close()
    path = only_file(recorder)
    path.write_bytes(path.read_bytes()[:-5])

    assert chunks_of(path) == [("in", b"whole")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a recording"),
        (b"\x7fELF", "not a recording"),
        (b'{"format":2,"protocol":"bgp","node":"n","peer":"p","began":0}\n', "format 2"),
        (b'{"format":1,"protocol":"bgp","node":"n","peer":"p","began":0}\n{"t":1}\n', "line 2"),
        (
            b'{"format":1,"protocol":"bgp","node":"n","peer":"p","began":0}\n{"d":"up"}\n',
            "line 2",
        ),
        (b'{"format":1,"protocol":"bgp","node":"\xff"}\n', "not a recording"),
        (
            b'{"format":1,"protocol":"bgp","node":"n","peer":"p","began":0}\n{"d":"\xff"}\n',
            "line 2",
        ),
    ],
)
def test_other_files_are_refused_with_their_name(tmp_path, content, said):
    path = tmp_path / "x.session"
    path.write_bytes(content)

    with pytest.raises(RecordingInvalid, match=said) as refused:
        chunks_of(path)
    assert str(path) in str(refused.value)


def test_full_disk_ends_the_recording_and_nothing_else(recorder, monkeypatch):
    real_open = os.open
    monkeypatch.setattr(
        os, "open", lambda _path, _flags, _mode: real_open("/dev/full", os.O_WRONLY)
    )
    session = recorder.start("bgp", "mx1")
    session.note("in", bytes(1_000_000))
    session.note("in", b"more")
    recorder.flush()
    session.close()


def test_long_recording_and_many_of_them_end(recorder, monkeypatch):
    monkeypatch.setattr(recording, "BYTES_MAX", 1000)
    monkeypatch.setattr(recording, "FILES_COUNT_MAX", 1)
    session = recorder.start("bgp", "mx1")
    for _ in range(100):
        session.note("in", bytes(100))

    assert only_file(recorder).stat().st_size < 1500
    assert recorder.start("bgp", "mx1") is None
