"""A real API server under load while the process that writes its store is killed again and again."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from skytrail.client import ApiClient, ApiUnavailable

TIME_LIMIT_S = 30
KILLS = 5


class Server:
    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "skytrail.daemons.api", "--port", "0", "--data", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        self.port = int(line.split("port=")[1].split()[0])

    def writer(self):
        """Return the process that writes, None while there is none."""
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                if "sqlite_process" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
            except OSError:
                continue
        return None

    def client(self):
        return ApiClient(f"http://127.0.0.1:{self.port}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(TIME_LIMIT_S)
        self.process.stdout.close()


def create_until(server, prefix, stop, made):
    """Create namespaces one after another; keep the names that were acknowledged."""
    client, number = server.client(), 0
    while not stop.is_set() and server.process.poll() is None:
        name = f"{prefix}-{number}"
        number += 1
        try:
            client.create("namespace", {"fq_name": ["default-domain", name]})
        except ApiUnavailable:
            time.sleep(0.01)
            continue
        made.append(name)


def test_killing_the_writer_under_load_loses_no_acknowledged_write(tmp_path):
    server, stop, made = Server(tmp_path), threading.Event(), []
    clients = [
        threading.Thread(target=create_until, args=(server, f"c{number}", stop, made))
        for number in range(4)
    ]
    try:
        for each in clients:
            each.start()
        killed, until = set(), time.monotonic() + TIME_LIMIT_S
        while len(killed) < KILLS and server.process.poll() is None:
            assert time.monotonic() < until
            writer, count = server.writer(), len(made)
            if writer is not None and writer not in killed:
                while len(made) == count and time.monotonic() < until:
                    time.sleep(0.01)
                os.kill(writer, signal.SIGKILL)
                killed.add(writer)
            time.sleep(0.02)
    finally:
        stop.set()
        for each in clients:
            each.join()
        server.stop()
    again = Server(tmp_path)
    try:
        held = {each["fq_name"][-1] for each in again.client().list("namespace")}
    finally:
        again.stop()

    assert made
    assert set(made) <= held
