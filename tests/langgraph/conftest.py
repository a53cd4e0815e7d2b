"""Each test starts and ends with an unguarded process."""

from tests.doubtful_results import judged, queue, refunds_need_a_person
from tests.fixtures import clock, guard, unguarded_process

__all__ = ["clock", "guard", "judged", "queue", "refunds_need_a_person", "unguarded_process"]
