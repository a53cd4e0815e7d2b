"""The ledger on Redis or Valkey: one budget over any number of processes and machines."""

from __future__ import annotations

try:
    import redis as _redis  # noqa: F401
except ImportError as missing:
    raise ImportError(
        "The Redis store needs the package redis: pip install 'mas-guard[redis]', or use memory:// or sqlite:///path"
    ) from missing

from mas_guard.ledger.redis.incarnation import BooksLost
from mas_guard.ledger.redis.ledger import RedisLedger

__all__ = ["BooksLost", "RedisLedger"]
