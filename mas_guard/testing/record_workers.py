"""What the record contract does in processes of its own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mas_guard.records import RecordStore

OpenStore = Callable[[], RecordStore]

LETTERS = "abcdefgh"
LENGTH = 200_000  # of the value that a killed writer may have torn


def in_processes(target: Callable[..., None], argument_lists: list[tuple[Any, ...]]) -> list[Any]:
    """Start *target* once for each of *argument_lists*, each in a process of its own."""
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["mas_guard.testing.record_workers"])
    processes = [context.Process(target=target, args=arguments, daemon=True) for arguments in argument_lists]
    for process in processes:
        process.start()
    return processes


def count(open_store: OpenStore, key: str, times: int) -> None:
    """Add one to a counter, *times* times."""
    store = open_store()
    for _ in range(times):
        store.change("counters", key, one_more)


def one_more(value: dict[str, Any]) -> dict[str, Any]:
    """The counter's next value."""
    return {**value, "n": value.get("n", 0) + 1}


def make(open_store: OpenStore, names: int, mark: str) -> None:
    """Try to make each of *names* records; note in the file *mark* which ones were made here."""
    store = open_store()
    made = [f"{name}" for name in range(names) if store.put("once", f"{name}", {"by": mark}, version=0) is not None]
    Path(mark).write_text(" ".join(made), encoding="utf-8")


def write_for_ever(open_store: OpenStore, key: str, mark: str) -> None:
    """Replace one large value by another, until the process is killed; the file *mark* says how often."""
    store = open_store()
    counted = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = 0
    while True:
        number += 1
        store.put("torn", key, {"number": number, "text": LETTERS[number % len(LETTERS)] * LENGTH}, durable=True)
        os.write(counted, b".")
