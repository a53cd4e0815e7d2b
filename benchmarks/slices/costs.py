"""What each thing takes in the simulation, in seconds. Measured by `python -m benchmarks.slices measure` on two cores."""

from __future__ import annotations

from dataclasses import dataclass

MICROSECOND = 1e-6


@dataclass(frozen=True)
class Costs:
    """Seconds of a server's processor, of a worker's, and of the network.

    Attributes:
        reserve, dispatch, settle: Of the server for a call that pays from its run alone, as sent by tasks over one
            connection; other ways of sending cost a quarter more.
        reserve_both, dispatch_both, settle_both: The same for a call that pays from its run and a window.
        round_trip: From a worker to a server and back. Not measured: what one data centre has between two hosts.
        worker: Of a worker's processor for an agent's turn in its framework.
        model: How long a model call takes. Short, so that the workers' processors are busy throughout.
    """

    reserve: float = 22 * MICROSECOND
    dispatch: float = 16 * MICROSECOND
    settle: float = 25 * MICROSECOND
    reserve_both: float = 30 * MICROSECOND
    dispatch_both: float = 18 * MICROSECOND
    settle_both: float = 38 * MICROSECOND
    round_trip: float = 250 * MICROSECOND
    worker: float = 800 * MICROSECOND
    model: float = 20_000 * MICROSECOND

    @property
    def call(self) -> float:
        """A whole call that pays from its run alone."""
        return self.reserve + self.dispatch + self.settle

    @property
    def call_both(self) -> float:
        """A whole call that pays from its run and a window."""
        return self.reserve_both + self.dispatch_both + self.settle_both


MEASURED = Costs()
