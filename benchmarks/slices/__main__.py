"""Prints the tables; takes some minutes. `measure` measures the figures that they stand on instead."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache

from benchmarks.slices.costs import MEASURED
from benchmarks.slices.hot_tenant import Result, Tenant, simulate
from benchmarks.slices.rules import RULES, share
from benchmarks.slices.splitting import equal, split, zipf

ROOTS = {
    "runs alone": equal(20_000),
    "1,000 equal tenants": equal(1_000),
    "1,000 tenants, Zipf 1": zipf(1_000, 1.0),
    "one window for all": equal(1),
}
SERVERS = (1, 2, 3, 4, 6, 12)
WORKERS = (4, 16, 64, 256)
LIMITS = (100, 1_000, 10_000, 100_000, 1_000_000)
SKEWS = (0.0, 2.0)
AS_IN_LARGE = 100_000  # a larger window changes no rate any more
A_PROVIDERS_HIGHEST_TIER = replace(MEASURED, model=1.0)


def main() -> None:
    """See the module."""
    if sys.argv[1:] == ["measure"]:
        from benchmarks.slices.base_figures import measure

        for name, figure in measure().items():
            print(f"{name:<84} {figure:10.1f}")
        return
    print(f"One server takes {1 / MEASURED.call_both:,.0f} calls a second of a run and a window, ", end="")
    print(f"{1 / MEASURED.call:,.0f} of runs alone.\n")
    _cluster()
    with ProcessPoolExecutor(2) as processes:
        _by_servers(processes)
        _by_limit(processes)
        _crashes(processes)
        _ordinary(processes)


def _cluster() -> None:
    print("A cluster: times what one server takes (and the wait at half of an even load, in ms, 99 of 100 calls)")
    _row("servers", (f"{servers}" for servers in SERVERS))
    for name, weights in ROOTS.items():
        found = [split(weights, servers) for servers in SERVERS]
        _row(name, (f"{each.even:.1f} ({'full' if each.wait is None else f'{each.wait:.2f}'})" for each in found))


def _by_servers(processes: ProcessPoolExecutor) -> None:
    print("\nOne hot tenant, window of 100,000 calls, slices by share: times the rate without slices")
    _row("servers", (f"{servers}" for servers in SERVERS))
    for workers in (16, 32, 48, 64, 128, 256):
        tenants = [Tenant(100_000, workers, servers=servers, rule=share) for servers in SERVERS]
        _row(f"{workers} workers", (f"{gain:.2f}" for gain, _ in _gains(processes, tenants)))


def _by_limit(processes: ProcessPoolExecutor) -> None:
    print("\nThe same on 6 servers: gain / left unused at the first refusal, % of the window / most in all hands, %")
    for skew in SKEWS:
        for name, rule in RULES.items():
            _row(f"skew {skew:.0f}, {name}", (f"{limit:,}" for limit in LIMITS))
            for workers in WORKERS:
                limits = [limit for limit in LIMITS if (rule is share and not skew) or limit <= AS_IN_LARGE]
                tenants = [Tenant(limit, workers, servers=6, skew=skew, rule=rule) for limit in limits]
                found = zip(tenants, _gains(processes, tenants), strict=True)
                _row(f"{workers} workers", (_cell(tenant, gain, result) for tenant, (gain, result) in found))


def _crashes(processes: ProcessPoolExecutor) -> None:
    print("\nBurnt by crashes on 6 servers, % of the window: one worker in ten killed once / each killed once")
    for name, rule in RULES.items():
        _row(name, ("10,000", "100,000"))
        for workers in (64, 256):
            cells = []
            for limit in (10_000, 100_000):
                tenants = [Tenant(limit, workers, servers=6, rule=rule, crashes=part) for part in (0.1, 1.0)]
                cells.append(
                    " / ".join(f"{100 * found.burnt / limit:.1f}" for found in processes.map(simulate, tenants))
                )
            _row(f"{workers} workers", cells)


def _ordinary(processes: ProcessPoolExecutor) -> None:
    print("\n500 calls a second, model calls of a second, on 6 servers: rate without / with slices by share")
    tenants = [
        Tenant(20_000, 64, tasks=8, servers=6, rule=rule, costs=A_PROVIDERS_HIGHEST_TIER) for rule in (None, share)
    ]
    without, sliced = processes.map(simulate, tenants)
    print(f"{without.rate:,.0f} / {sliced.rate:,.0f}; unused at the first refusal {sliced.left_at_first / 200:.2f} %")


def _gains(processes: ProcessPoolExecutor, tenants: list[Tenant]) -> Iterable[tuple[float, Result]]:
    for tenant, found in zip(tenants, processes.map(simulate, tenants), strict=True):
        bare = replace(tenant, rule=None, servers=1, limit=min(tenant.limit, AS_IN_LARGE))
        yield found.rate / _rate_without_slices(bare), found


@cache
def _rate_without_slices(tenant: Tenant) -> float:
    return simulate(tenant).rate


def _cell(tenant: Tenant, gain: float, found: Result) -> str:
    parts = (found.left_at_first, found.most_in_all_hands)
    return f"{gain:.1f} / " + " / ".join(f"{100 * part / tenant.limit:.1f}" for part in parts)


def _row(name: str, cells: Iterable[str]) -> None:
    print(f"{name:<28}" + "".join(f"{cell:>21}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
