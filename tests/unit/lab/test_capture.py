"""Waiting for frames."""

import errno
import itertools
import socket
import sys

import pytest

from skytrail.lab.io import netns
from skytrail.lab.io.capture import Capture


def test_a_capture_whose_interface_goes_ends_with_a_sentence(monkeypatch):
    ours, others = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def gone(_: int) -> bytes:
        raise OSError(errno.ENETDOWN, "Network is down")

    class Bindable:
        bind = staticmethod(lambda _: None)
        fileno, close, recv = ours.fileno, ours.close, staticmethod(gone)

    monkeypatch.setattr(netns, "open_socket", lambda *_: Bindable())
    with Capture("lab-h1", "eth0") as source, others:
        others.send(b"x")
        with pytest.raises(
            netns.NetworkError, match=r"eth0 in lab-h1 ended: Network is down; .*lab"
        ):
            next(source.frames(1.0))


def test_frames_may_be_waited_for_as_long_as_anybody_likes(monkeypatch):
    frames, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    class Bindable:
        bind = staticmethod(lambda _: None)
        fileno, recv, close = frames.fileno, frames.recv, frames.close

    monkeypatch.setattr(netns, "open_socket", lambda *_: Bindable())
    with Capture("lab-h1", "eth0") as source, sender:
        sender.send(b"frame")
        [captured] = itertools.islice(source.frames(float(sys.maxsize)), 1)

    assert captured.frame == b"frame"
