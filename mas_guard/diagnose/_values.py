"""Reads JSON values out of files, one at a time: JSON lines, an array, or documents one after the other, gzip'd or not."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

Refuse = Callable[[int, str], None]
"""Told the line, and what is wrong with it."""

CHUNK = 1 << 20  # characters read at once from a file that is no JSON lines
LARGEST = 1 << 28  # characters of one document; what is longer is not read, so that a broken file cannot fill memory
_BETWEEN = " \t\r\n,"


def values_of(file: BinaryIO, refuse: Refuse) -> Iterator[tuple[int, Any]]:
    """Yield each JSON value with its line; the elements of an array one by one. What cannot be read is refused.

    A file whose first line is a whole value, or anything but an opening bracket, is read as JSON lines.
    """
    stream = _unpacked(file)
    try:
        first = next((line for line in stream if line.strip()), b"")
        if first.strip() in (b"[", b"{", b"[{"):
            yield from _documents(first, stream, refuse)
        else:
            yield from _lines(first, stream, refuse)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        refuse(0, f"the compressed file is broken or cut off ({error}); what came before it was read")


def _unpacked(file: BinaryIO) -> BinaryIO:
    stream = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
    if stream.peek(2)[:2] == b"\x1f\x8b":  # by its content: logs are renamed and piped
        return cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    return cast("BinaryIO", stream)


def _lines(first: bytes, rest: BinaryIO, refuse: Refuse) -> Iterator[tuple[int, Any]]:
    number, line = 1, first
    while line:
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError:  # UnicodeDecodeError is one, too
                refuse(number, "no JSON (cut off, or written by something else)")
            except RecursionError:
                refuse(number, "JSON nested too deep")
            else:
                for element in value if isinstance(value, list) else [value]:
                    yield number, element
        line, number = rest.readline(), number + 1


def _documents(first: bytes, rest: BinaryIO, refuse: Refuse) -> Iterator[tuple[int, Any]]:
    text = io.TextIOWrapper(cast("io.BufferedReader", rest), encoding="utf-8", errors="replace")
    read = json.JSONDecoder().raw_decode
    held, number, size = first.decode("utf-8", "replace"), 1, CHUNK
    while True:
        at = 0
        while True:
            start = at
            while at < len(held) and held[at] in _BETWEEN:
                at += 1
            if held[at : at + 1] in ("[", "]"):  # the elements of a top-level array are values of their own
                at += 1
                continue
            number += held.count("\n", start, at)
            try:
                value, end = read(held, at)
            except RecursionError:
                refuse(number, "JSON nested too deep")
                return
            except ValueError:
                break
            yield number, value
            number += held.count("\n", at, end)
            at, size = end, CHUNK
        held = held[at:]
        more = text.read(size) if len(held) < LARGEST else ""
        if not more:
            if held:
                refuse(number, f"no JSON from here on (cut off, something else, or over {LARGEST:,} characters)")
            return
        held, size = held + more, 2 * size  # doubled, so that one large value is not tried too often
