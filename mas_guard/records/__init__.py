"""What is written down: events as JSON lines, one versioned schema; and the small records that processes share."""

from __future__ import annotations

from mas_guard.records.events import EVENT_VERSION, EventSink, event_schema
from mas_guard.records.memory import MemoryRecordStore
from mas_guard.records.opening import open_records
from mas_guard.records.store import Record, RecordStore

__all__ = [
    "EVENT_VERSION",
    "EventSink",
    "MemoryRecordStore",
    "Record",
    "RecordStore",
    "event_schema",
    "open_records",
]
