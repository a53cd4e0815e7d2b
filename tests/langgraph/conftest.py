"""Each test starts and ends with an unguarded process."""

from tests.fixtures import clock, guard, unguarded_process

__all__ = ["clock", "guard", "unguarded_process"]
