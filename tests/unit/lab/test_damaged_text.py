"""Daemons and files that say what is no text are told as such, not as a traceback."""

import socket
import threading

import pytest

from skytrail.lab.io import plug


def test_agent_that_answers_what_is_no_text_is_named(tmp_path):
    path = tmp_path / "plug"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b'{"ok": false, "error": "\xff\xfe"}\n')

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(plug.PlugError, match="agent socket"):
            plug.plugged(path)
        thread.join()
