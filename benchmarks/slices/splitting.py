"""How the load splits over a cluster: by the root of the accounts that pay together, as Redis finds its server.

A key's slot is the CRC16 of its hash tag, modulo 16,384; each of the servers has an equal range of the slots.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from benchmarks.slices.costs import MEASURED
from benchmarks.slices.events import Station

SLOTS = 16_384


@dataclass(frozen=True)
class Split:
    """What came of it.

    Attributes:
        servers: How many there are.
        even: How many times what one server takes the cluster takes until its busiest server is full.
        wait: The wait at a server, in milliseconds, that 99 of 100 calls stay below, at half of what as many servers
            take that are equally busy; `None` where the busiest server gets more than it can take.
    """

    servers: int
    even: float
    wait: float | None


def slot(root: str) -> int:
    """The slot of the books of *root*."""
    return crc_hqx(root.encode(), 0) % SLOTS


def server_of(root: str, servers: int) -> int:
    """Which of so many servers has them."""
    return slot(root) * servers // SLOTS


def equal(number: int) -> list[float]:
    """Weights of so many roots that are equally busy."""
    return [1.0] * number


def zipf(number: int, skew: float) -> list[float]:
    """Weights of so many roots, of which the n-th is as busy as 1 / n ** skew."""
    return [1.0 / (place + 1) ** skew for place in range(number)]


def split(weights: Sequence[float], servers: int, seed: int = 1, calls: int = 20_000) -> Split:
    """Spread roots of these weights over *servers*, and let *calls* come at random times."""
    dice = Random(seed)
    places = [server_of(f"{dice.getrandbits(128):032x}", servers) for _ in weights]
    loads = [0.0] * servers
    for place, weight in zip(places, weights, strict=True):
        loads[place] += weight / sum(weights)
    busiest = max(loads)
    if busiest * servers / 2 >= 1:
        return Split(servers, 1 / busiest, None)
    return Split(servers, 1 / busiest, _wait(places, weights, servers, dice, calls))


def _wait(places: Sequence[int], weights: Sequence[float], servers: int, dice: Random, calls: int) -> float:
    stations = [Station() for _ in range(servers)]
    takes = MEASURED.call_both
    now, waits = 0.0, []
    for place in dice.choices(places, cum_weights=list(accumulate(weights)), k=calls * servers):
        now += dice.expovariate(servers / takes / 2)
        waits.append(stations[place].serve(now, takes) - now - takes)
    return sorted(waits)[len(waits) * 99 // 100] * 1000
