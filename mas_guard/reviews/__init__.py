"""Reviews: a person decides, everybody else goes on, and nobody waits for ever.

A review is opened at a `Desk`, stored with exactly what the person must see, and announced through one channel. It is
answered once: from `mas-guard reviews`, a terminal, a webhook, or code. A review that nobody answered in time counts as
rejected for whoever reads it next; nothing is ever approved by a clock, nor for anything but what was shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mas_guard.reviews.callables import reviewer
    from mas_guard.reviews.desk import Desk
    from mas_guard.reviews.drilling import Drill, drill
    from mas_guard.reviews.errors import (
        EditNotAllowed,
        NotShowable,
        ReviewAnswered,
        ReviewChanged,
        ReviewError,
        ReviewNotFound,
        ReviewStoreError,
        WebhookRefused,
    )
    from mas_guard.reviews.findings import Remark, remarks
    from mas_guard.reviews.payload import from_payload, to_payload
    from mas_guard.reviews.record import Resolution, Review, ReviewRecord
    from mas_guard.reviews.records import RecordReviewStore
    from mas_guard.reviews.shown import fingerprint_of
    from mas_guard.reviews.sqlite import SQLiteReviewStore
    from mas_guard.reviews.store import MemoryReviewStore, ReviewStore, open_store, store_of
    from mas_guard.reviews.webhook import answer_from_webhook, sign_webhook, verify_webhook

_HOMES = {
    "callables": ("reviewer",),
    "desk": ("Desk",),
    "drilling": ("Drill", "drill"),
    "errors": (
        "EditNotAllowed", "NotShowable", "ReviewAnswered", "ReviewChanged", "ReviewError", "ReviewNotFound",
        "ReviewStoreError", "WebhookRefused",
    ),
    "payload": ("from_payload", "to_payload"),
    "record": ("Resolution", "Review", "ReviewRecord"),
    "records": ("RecordReviewStore",),
    "findings": ("Remark", "remarks"),
    "shown": ("fingerprint_of",),
    "sqlite": ("SQLiteReviewStore",),
    "store": ("MemoryReviewStore", "ReviewStore", "open_store", "store_of"),
    "webhook": ("answer_from_webhook", "sign_webhook", "verify_webhook"),
}  # fmt: skip
_WHERE = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Desk", "Drill", "EditNotAllowed", "MemoryReviewStore", "NotShowable", "RecordReviewStore", "Remark", "Resolution", "Review",
    "ReviewAnswered", "ReviewChanged", "ReviewError", "ReviewNotFound", "ReviewRecord", "ReviewStore",
    "ReviewStoreError", "SQLiteReviewStore", "WebhookRefused", "answer_from_webhook", "drill", "fingerprint_of",
    "from_payload", "open_store", "remarks", "reviewer", "sign_webhook", "store_of", "to_payload", "verify_webhook",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _WHERE:
        raise AttributeError(f"module 'mas_guard.reviews' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"mas_guard.reviews.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
