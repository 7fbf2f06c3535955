"""The reader of a kernel ring buffer, on memory that is laid out like one."""

import mmap
import os
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from skytrail.agent.io.ring import RecordRing

PAGE = mmap.PAGESIZE
SIZE = 8 * PAGE
RECORD = np.dtype([("number", "=u4"), ("port", ">u2"), ("pad", "=u2")])
BUSY, DISCARD = 1 << 31, 1 << 30

WATCH = """
import mmap, sys
word = memoryview(mmap.mmap(int(sys.argv[1]), mmap.PAGESIZE)).cast("Q")
print("ready", flush=True)
seen = 0
while word[1] == 0:
    seen += word[0] < word[2]
print(seen)
"""


class Kernel:
    """The other end: writes both copies of the data."""

    def __init__(self):
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self._memory = mmap.mmap(self.fd, 2 * PAGE + 2 * SIZE)
        self._words = memoryview(self._memory).cast("Q")
        self.position = 0

    @property
    def consumed(self):
        return self._words[0]

    def write(self, number, port=80, *, flags=0):
        raw = struct.pack("=II", RECORD.itemsize | flags, 0) + struct.pack("=I", number)
        raw += struct.pack(">H2x", port)
        for index, byte in enumerate(raw):
            at = (self.position + index) % SIZE
            self._memory[2 * PAGE + at] = self._memory[2 * PAGE + SIZE + at] = byte
        self.position += len(raw)
        self._words[PAGE // 8] = self.position

    def start_at(self, position):
        self.position = position
        self._words[0] = self._words[PAGE // 8] = position

    def flags(self, position, flags):
        """Change a record that is there."""
        self._memory[2 * PAGE + position : 2 * PAGE + position + 4] = struct.pack(
            "=I", RECORD.itemsize | flags
        )

    def word(self, index, value):
        self._words[index] = value


@pytest.fixture
def kernel():
    made = Kernel()
    yield made
    os.close(made.fd)


@pytest.fixture
def ring(kernel):
    made = RecordRing(kernel.fd, SIZE)
    yield made
    made.close()


def test_records_are_taken_in_order_and_no_more_than_wanted(kernel, ring):
    for number in range(5):
        kernel.write(number, port=443)

    first, rest, none = (ring.take(RECORD, most) for most in (2, 10, 10))

    assert [each["number"].tolist() for each in (first, rest, none)] == [[0, 1], [2, 3, 4], []]
    assert (first.dtype, first["port"].tolist()) == (RECORD, [443, 443])
    assert kernel.consumed == kernel.position


def test_record_that_is_being_written_is_waited_for(kernel, ring):
    kernel.write(0)
    kernel.write(1, flags=BUSY)
    kernel.write(2)
    before = ring.take(RECORD, 10)["number"].tolist()
    kernel.flags(16, 0)

    assert (before, ring.take(RECORD, 10)["number"].tolist()) == ([0], [1, 2])


def test_record_that_was_given_up_is_passed_over(kernel, ring):
    for number in range(5):
        kernel.write(number, flags=DISCARD if number in {0, 2, 3} else 0)

    assert ring.take(RECORD, 10)["number"].tolist() == [1, 4]


def test_records_beyond_the_end_go_on_at_the_beginning(kernel, ring):
    kernel.start_at(3 * SIZE - 24)
    for number in range(4):
        kernel.write(number)

    assert ring.take(RECORD, 10)["number"].tolist() == [0, 1, 2, 3]


def test_what_was_taken_is_not_written_over(kernel, ring):
    kernel.write(7)
    taken = ring.take(RECORD, 1)
    kernel.flags(0, BUSY)

    assert taken["number"].tolist() == [7]


def test_position_never_goes_back_for_a_moment(kernel, ring):
    """The kernel looks at any time: it would find the ring full, and lose what it has to tell."""
    kernel.start_at(1 << 20)
    kernel.word(2, 1 << 20)
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(kernel.fd)],
        pass_fds=[kernel.fd],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout.readline() == "ready\n"
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        for _ in range(100):
            kernel.write(1)
            ring.drain(len, 1)
    kernel.word(1, 1)

    assert watcher.communicate()[0] == "0\n"
