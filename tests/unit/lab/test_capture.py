"""Waiting for frames."""

import itertools
import socket
import sys

from skytrail.lab.io import netns
from skytrail.lab.io.capture import Capture


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
