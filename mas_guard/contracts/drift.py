"""Drift: a contract that is no longer the accepted one, and whom it concerns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mas_guard.contracts.accepted import ContractFile, Entry
from mas_guard.contracts.changes import Change, changes, observed_changes
from mas_guard.contracts.contract import Contract
from mas_guard.contracts.learning import Learned


@dataclass(frozen=True, slots=True)
class Drift:
    """One agent whose contract is not the accepted one.

    Attributes:
        agent: The agent whose output changed.
        before: The accepted contract, `None` where none was accepted.
        after: The contract in force, `None` where the agent has none any more.
        changes: What changed; empty where one of the two is missing.
        consumers: The agents that take the output, and have to be looked at.
    """

    agent: str
    before: Contract | None
    after: Contract | None
    changes: Sequence[Change]
    consumers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check.

    Attributes:
        drifts: What is not as accepted, by agent in order.
        equal: The agents whose contract is the accepted one.
        not_checked: Accepted agents of which nothing was seen: their app or their runs were not given.
    """

    drifts: list[Drift]
    equal: list[str]
    not_checked: list[str]


def check_drift(
    file: ContractFile,
    declared: Mapping[str, Contract],
    learned: Mapping[str, Learned],
    sources: frozenset[str],
) -> Checked:
    """Compare what is in force with what is accepted.

    Args:
        file: What people have accepted.
        declared: The contracts that settings and app declare.
        learned: What recorded runs say; it stands for agents that declare nothing.
        sources: What was looked at: `settings`, `app`, `runs`. An accepted contract from elsewhere is not checked.
    """
    checked = Checked([], [], [])
    for agent in sorted({*file.accepted, *declared, *(name for name, seen in learned.items() if seen.contract)}):
        entry = file.accepted.get(agent)
        before = entry.contract if entry else None
        consumers = consumers_of(agent, file, declared, learned)
        if agent in declared:
            after: Contract | None = declared[agent]
            found = changes(before, declared[agent]) if before else []
        elif agent in learned and learned[agent].contract is not None:
            after = learned[agent].contract
            assert after is not None
            found = observed_changes(before, after) if before else []
        elif before is not None and before.source in sources and before.source != "runs":
            after, found = None, []
        else:
            checked.not_checked.append(agent)
            continue
        if before is not None and after is not None and not found:
            checked.equal.append(agent)
        else:
            checked.drifts.append(Drift(agent, before, after, found, consumers))
    return checked


def consumers_of(
    agent: str, file: ContractFile, declared: Mapping[str, Contract], learned: Mapping[str, Learned]
) -> tuple[str, ...]:
    """The direct consumers of *agent*'s output: those that runs have shown, else those that may get control from it."""
    entry, proposal, seen = file.accepted.get(agent), file.proposals.get(agent), learned.get(agent)
    shown = {*(seen.consumers if seen else ()), *_consumers(entry), *_consumers(proposal)}
    if not shown and agent in declared:
        shown = set(declared[agent].consumers)
    return tuple(sorted(shown - {agent}))


def _consumers(entry: Entry | None) -> tuple[str, ...]:
    return entry.contract.consumers if entry else ()
