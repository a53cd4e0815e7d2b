"""What is written down: events as JSON lines, one versioned schema."""

from __future__ import annotations

from mas_guard.records.events import EVENT_VERSION, EventSink, event_schema

__all__ = ["EVENT_VERSION", "EventSink", "event_schema"]
