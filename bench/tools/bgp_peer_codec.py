"""Runs in build/bgp-decoders: how long os-ken takes for the messages of a file.

The file holds BGP messages one after the other. Prints CPU seconds to decode them and to encode what
was decoded, separated by a space.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from os_ken.lib.packet import bgp


def main() -> None:
    stream = Path(sys.argv[1]).read_bytes()
    messages = []
    position = 0
    while position < len(stream):
        size = int.from_bytes(stream[position + 16 : position + 18], "big")
        messages.append(stream[position : position + size])
        position += size
    started = time.process_time()
    decoded = [bgp.BGPMessage.parser(message)[0] for message in messages]
    between = time.process_time()
    for message in decoded:
        message.serialize()
    print(between - started, time.process_time() - between)


main()
