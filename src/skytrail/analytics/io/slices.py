"""Long lists of JSON, decoded in slices between which others have their turn.

What decodes holds the interpreter: in a thread everybody would wait for it as well. 64 MiB take over a second, a slice a hundredth.

```
 [[1,"a"],[2,"b"], ... ,[9,"z"]]        cut where a row seems to end; what does not decode was cut within a row or a text,
  `------------´ `-------------´        and is cut further on. What decodes was cut rightly: a text that is cut has no end.
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

ItemT = TypeVar("ItemT")

SLICE_BYTES: Final = 1 << 20
ITEM_BYTES_MAX: Final = 32 << 20
"""Of one item of a stranger's list. The longest log is 8 MiB, and twice that with what JSON escapes."""


class SlicesUnusable(Exception):
    """What should be a list of items is none; the text says why."""


async def items_of(
    content: msgspec.Raw,
    kind: type[list[ItemT]],
    between: bytes,
    *,
    most: int,
    item_bytes_max: int = ITEM_BYTES_MAX,
) -> list[ItemT]:
    """Return the items of a JSON array, at most so many; :class:`SlicesUnusable`.

    Between two of them are the bytes ``between``: the end of an item, and a comma. A list without them is one item.
    """
    is_long = memoryview(content).nbytes > SLICE_BYTES
    if is_long:
        # To find its end, and to copy it, took a while as well.
        await asyncio.sleep(0)
    array = bytes(content).strip()
    if not is_long:
        try:
            return _within(msgspec.json.decode(array, type=kind), most)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SlicesUnusable(str(error)) from error
    if not (array.startswith(b"[") and array.endswith(b"]")):
        raise SlicesUnusable("it is no list")
    decoder = msgspec.json.Decoder(kind)
    found: list[ItemT] = []
    start, end = 1, len(array) - 1
    await asyncio.sleep(0)
    while start < end:
        cut = _cuts(array, start, end, between, item_bytes_max)
        items, start = _slice(array, start, cut, decoder)
        _within(found, most - len(items))
        found += items
        await asyncio.sleep(0)
    return found


def _within(items: list[ItemT], most: int) -> list[ItemT]:
    if len(items) > most:
        raise SlicesUnusable("it has more items than were asked for")
    return items


def _cuts(array: bytes, start: int, end: int, between: bytes, item_bytes_max: int) -> Iterator[int]:
    """Yield where a slice from ``start`` on may end, each at least twice as far as the one before; the last is ``end``."""
    stop, length = 0, SLICE_BYTES
    while stop < end:
        stop = array.find(between, start + length, end) + 1 or end
        if stop - start > SLICE_BYTES + item_bytes_max:
            raise SlicesUnusable(f"an item of over {item_bytes_max >> 20} MiB")
        yield stop
        length = 2 * (stop - start)


def _slice(
    array: bytes, start: int, cuts: Iterator[int], decoder: msgspec.json.Decoder[list[ItemT]]
) -> tuple[list[ItemT], int]:
    """Return items from ``start`` on, and where the next one begins."""
    failure: Exception | None = None
    for stop in cuts:
        try:
            return decoder.decode(b"[%b]" % array[start:stop]), stop + 1
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            failure = error
    raise SlicesUnusable(str(failure)) from failure
