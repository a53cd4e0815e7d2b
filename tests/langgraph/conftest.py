"""Each test starts and ends with an unguarded process."""

from tests.doubtful_results import judged, queue
from tests.fixtures import clock, guard, unguarded_process

__all__ = ["clock", "guard", "judged", "queue", "unguarded_process"]
