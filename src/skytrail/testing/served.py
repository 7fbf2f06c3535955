"""An ASGI application on a real port in a thread of this process, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager

from skytrail.runtime.asgi import AsgiApp
from skytrail.runtime.server import listen_tcp, serve


@contextmanager
def served(app: AsgiApp) -> Generator[str]:
    """Give the URL under which the application answers until the block ends."""
    listener = listen_tcp("127.0.0.1", 0)
    port = int(listener.getsockname()[1])
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    task = loop.create_task(serve(app, [listener], when_ready=ready.set))

    def run() -> None:
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))

    thread = threading.Thread(target=run, name="served", daemon=True)
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the server did not become ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
