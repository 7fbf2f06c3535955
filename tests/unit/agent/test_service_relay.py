"""The relay of link-local services by real sockets: both protocols and IP versions, bounds, ends."""

import asyncio
import contextlib
import socket
from collections import Counter
from ipaddress import ip_address

import pytest

from skytrail.agent.io import service_relay
from skytrail.agent.io.service_relay import (
    CONNECTIONS_OF_ONE_MAX,
    EXCHANGES_OF_ONE_MAX,
    ServiceRelay,
)

pytestmark = pytest.mark.root
PLACE = (ip_address("169.254.1.1"), 80)
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


class Bench:
    """A relay at loopback, and whom it relays to."""

    def __init__(self, own, source):
        self.servers = []
        self.own = ip_address(own)
        self.relay = ServiceRelay(lambda _: tuple(self.servers), lambda: source)

    @property
    def statistics(self):
        return self.relay.statistics

    async def connect(self, source=None):
        at = (source, 0) if source else None
        made = socket.create_connection((str(self.own), self.port), 5, source_address=at)
        made.setblocking(False)
        return await asyncio.open_connection(sock=made)

    def mouth(self, source=""):
        made = socket.socket(family_of(self.own), socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind((source or str(self.own), 0))
        made.connect((str(self.own), self.port))
        return made


def family_of(address):
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


@contextlib.asynccontextmanager
async def relaying(own="127.0.0.1", source=None):
    bench = Bench(own, source)
    listening = asyncio.get_running_loop().create_future()
    serving = bench.relay.serve(PLACE, "lo", bench.own, listening.set_result)
    task = asyncio.create_task(serving)
    bench.port = await listening
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def server(handle, at="127.0.0.1"):
    async with await asyncio.start_server(handle, at, 0) as made:
        yield at, made.sockets[0].getsockname()[1]


async def until(claim):
    async with asyncio.timeout(10):
        while not claim():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def count_and_say_so(reader, writer):
    size, peer = len(await reader.read()), writer.get_extra_info("peername")[0]
    writer.write(f"{size} from {peer}".encode())
    writer.close()


async def hold(reader, writer):
    await reader.read()
    writer.close()


@pytest.mark.parametrize(("asked_over", "server_over"), [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_a_connection_is_carried_whole_though_one_end_stops_talking_first(asked_over, server_over):
    async def run():
        async with (
            server(count_and_say_so, LOOPBACK[server_over]) as at,
            relaying(LOOPBACK[asked_over]) as bench,
        ):
            bench.servers = [at]
            reader, writer = await bench.connect()
            writer.write(bytes(3_000_000))
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await until(lambda: bench.statistics["relayed"])
            return answer, bench.statistics

    answer, statistics = asyncio.run(run())

    assert answer == f"3000000 from {LOOPBACK[server_over]}".encode()
    assert statistics == {"relayed": 1}


def test_the_server_sees_the_host_s_underlay_address():
    async def run():
        async with (
            server(count_and_say_so) as at,
            relaying(source=ip_address("127.0.0.77")) as bench,
        ):
            bench.servers = [at]
            reader, writer = await bench.connect()
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(run()) == b"0 from 127.0.0.77"


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def test_a_server_that_is_not_there_is_passed_over():
    async def run():
        async with server(count_and_say_so) as at, relaying() as bench:
            bench.servers = [("127.0.0.1", free_port()), at]
            answers = []
            for _ in range(4):
                reader, writer = await bench.connect()
                writer.write_eof()
                answers.append(await reader.read())
                writer.close()
            return answers

    assert asyncio.run(run()) == [b"0 from 127.0.0.1"] * 4


@pytest.mark.parametrize("servers", [[], [("127.0.0.1", 1)], [("fe80::1", 80)]])
def test_without_a_server_the_client_is_reset(servers):
    async def run():
        async with relaying() as bench:
            bench.servers = servers
            reader, writer = await bench.connect()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            return bench.statistics

    assert asyncio.run(run()) == {"refused_unreachable": 1}


def test_a_reset_of_the_server_is_a_reset_for_the_client():
    async def break_off(reader, writer):
        await reader.readexactly(1)
        service_relay._set_linger(writer.get_extra_info("socket"), is_reset=True)
        writer.close()

    async def run():
        async with server(break_off) as at, relaying() as bench:
            bench.servers = [at]
            reader, writer = await bench.connect()
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            return bench.statistics

    assert asyncio.run(run()) == {"aborted": 1}


def test_a_silent_connection_ends_and_a_talking_one_does_not(monkeypatch):
    monkeypatch.setattr(service_relay, "IDLE_TIMEOUT_S", 0.5)

    async def run():
        async with server(hold) as at, relaying() as bench:
            bench.servers = [at]
            talking, silent = await bench.connect(), await bench.connect()
            ended = asyncio.create_task(silent[0].read())
            while not ended.done():
                talking[1].write(b"x")
                await asyncio.sleep(0.05)
            broken = isinstance(ended.exception(), ConnectionResetError)
            before = dict(bench.statistics)
            talking[1].write_eof()
            last = await talking[0].read()
            for _, writer in (talking, silent):
                writer.close()
            return broken, before, last

    assert asyncio.run(run()) == (True, {"idle": 1}, b"")


def test_one_workload_s_connections_keep_no_other_out():
    async def run():
        async with server(count_and_say_so) as at, relaying() as bench:
            bench.servers = [at]
            opened = [await bench.connect("127.0.0.2") for _ in range(CONNECTIONS_OF_ONE_MAX)]
            over, too_many = await bench.connect("127.0.0.2")
            with pytest.raises(ConnectionResetError):
                await over.read()
            reader, writer = await bench.connect("127.0.0.3")
            writer.write_eof()
            answer = await reader.read()
            refused = bench.statistics["refused_busy"]
            opened[0][1].write_eof()
            await opened[0][0].read()
            await until(lambda: bench.statistics["relayed"] == 2)
            again, writer_again = await bench.connect("127.0.0.2")
            writer_again.write_eof()
            freed = await again.read()
            for each in (*(end for _, end in opened), too_many, writer, writer_again):
                each.close()
            return refused, answer, freed

    refused, answer, freed = asyncio.run(run())

    assert refused == 1
    assert answer == freed == b"0 from 127.0.0.1"


def test_who_does_not_read_makes_the_server_wait_and_not_the_relay_keep():
    sent = Counter()

    async def pour(_, writer):
        with contextlib.suppress(OSError):
            while True:
                writer.write(bytes(65536))
                await writer.drain()
                sent["bytes"] += 65536

    async def run():
        async with server(pour) as at, relaying() as bench:
            bench.servers = [at]
            made = socket.create_connection((str(bench.own), bench.port), 5)
            before = -1
            while before != sent["bytes"]:
                before = sent["bytes"]
                await asyncio.sleep(0.3)
            made.close()

    asyncio.run(run())

    # What the kernel's buffers of two connections hold, and one chunk.
    assert 0 < sent["bytes"] < 64 << 20


def test_what_is_open_ends_with_the_service():
    async def run():
        async with server(hold) as at:
            async with relaying() as bench:
                bench.servers = [at]
                reader, writer = await bench.connect()
                writer.write(b"x")
                await writer.drain()
                await until(lambda: bench.relay._connections.total() == 1)
                await asyncio.sleep(0.1)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await bench.connect()
            return bench.relay._connections.total()

    assert asyncio.run(run()) == 0


# UDP.


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(b"%b from %d" % (data, addr[1]), addr)


@contextlib.asynccontextmanager
async def echo(at="127.0.0.1"):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=(at, 0))
    try:
        yield at, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def asked(mouth, data):
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        await loop.sock_sendall(mouth, data)
        return await loop.sock_recv(mouth, 65535)


@pytest.mark.parametrize(("asked_over", "server_over"), [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_datagrams_of_one_port_are_one_exchange(asked_over, server_over):
    async def run():
        async with echo(LOOPBACK[server_over]) as at, relaying(LOOPBACK[asked_over]) as bench:
            bench.servers = [at]
            with bench.mouth() as one, bench.mouth() as other:
                return [await asked(*each) for each in ((one, b"a"), (other, b"b"), (one, b"c"))]

    first, second, third = [each.split(b" from ") for each in asyncio.run(run())]

    assert (first[0], second[0], third[0]) == (b"a", b"b", b"c")
    assert first[1] == third[1] != second[1]


def test_a_workload_with_too_many_exchanges_loses_its_oldest_and_nobody_else_does():
    async def run():
        async with echo() as at, relaying() as bench:
            bench.servers = [at]
            with contextlib.ExitStack() as stack:
                other = stack.enter_context(bench.mouth("127.0.0.3"))
                before = await asked(other, b"x")
                for _ in range(EXCHANGES_OF_ONE_MAX + 10):
                    await asked(stack.enter_context(bench.mouth("127.0.0.2")), b"y")
                after = await asked(other, b"x")
                return before, after, bench.statistics, dict(bench.relay._exchanges)

    before, after, statistics, exchanges = asyncio.run(run())

    assert before == after
    assert statistics["exchanges_ended_early"] == 10
    assert exchanges == {"127.0.0.3": 1, "127.0.0.2": EXCHANGES_OF_ONE_MAX}


def test_silent_exchanges_end(monkeypatch):
    monkeypatch.setattr(service_relay, "EXCHANGE_IDLE_S", 0.2)
    monkeypatch.setattr(service_relay, "_SWEEP_S", 0.05)

    async def run():
        async with echo() as at, relaying() as bench:
            bench.servers = [at]
            with bench.mouth() as mouth:
                await asked(mouth, b"x")
                await until(lambda: not bench.relay._exchanges)
                return await asked(mouth, b"y")

    assert asyncio.run(run()).startswith(b"y from ")


def test_bursts_of_many_workloads_have_room_at_once():
    burst_count = 16 * 256

    async def run():
        async with echo() as at, relaying() as bench:
            bench.servers = [at]
            with bench.mouth() as mouth:
                await asked(mouth, b"x")
                for _ in range(burst_count):
                    mouth.send(b"x")
                await until(lambda: bench.statistics["datagrams_out"] == burst_count + 1)
            return bench.statistics["datagrams_lost_full"]

    assert asyncio.run(run()) == 0


def test_datagrams_without_room_are_counted(monkeypatch):
    monkeypatch.setattr(service_relay, "MOUTH_BYTES", 2**16)
    burst_count = 500

    async def run():
        async with echo() as at, relaying() as bench:
            bench.servers = [at]
            statistics = bench.statistics
            with bench.mouth() as mouth:
                # Nobody reads meanwhile: this is the relay's loop.
                for _ in range(burst_count):
                    mouth.send(b"x")
                sent_count = burst_count
                # The kernel tells of what was lost with what comes next and has room.
                while not statistics["datagrams_lost_full"]:
                    await asyncio.sleep(0.01)
                    mouth.send(b"x")
                    sent_count += 1
            await until(
                lambda: (
                    statistics["datagrams_out"] + statistics["datagrams_lost_full"] == sent_count
                )
            )
            return statistics

    assert asyncio.run(run())["datagrams_lost_full"] > burst_count // 2


def test_datagrams_nobody_takes_are_counted_and_the_next_server_is_tried():
    async def run():
        async with echo() as at, relaying() as bench:
            bench.servers = [("127.0.0.1", free_port())]
            with bench.mouth() as mouth:
                mouth.send(b"x")
                await until(lambda: bench.statistics["datagrams_refused_unreachable"])
                bench.servers = [at]
                answer = await asked(mouth, b"y")
            bench.servers = []
            with bench.mouth() as mouth:
                mouth.send(b"x")
                await until(lambda: bench.statistics["datagrams_refused_unreachable"] == 2)
            return answer

    assert asyncio.run(run()).startswith(b"y from ")
