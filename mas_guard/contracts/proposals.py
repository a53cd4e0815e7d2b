"""What a person is asked to accept: what is declared or was learned, with its consumers, where it is not accepted yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mas_guard.contracts.accepted import ContractFile, Entry
from mas_guard.contracts.changes import changes, observed_changes
from mas_guard.contracts.contract import Contract
from mas_guard.contracts.drift import consumers_of
from mas_guard.contracts.learning import Learned


def proposals(file: ContractFile, declared: Mapping[str, Contract], learned: Mapping[str, Learned]) -> dict[str, Entry]:
    """Return what differs from what is accepted, in its contract or its consumers, by agent in order.

    A declared contract stands above what was learned of the same agent.
    """
    entries = entries_of(declared, file, learned)
    for agent, seen in learned.items():
        if agent not in entries and seen.contract is not None:
            consumers = consumers_of(agent, file, {}, learned)
            entries[agent] = Entry(replace(seen.contract, consumers=consumers), seen.outputs)
    return {
        agent: entries[agent] for agent in sorted(entries) if not _is_accepted(file.accepted.get(agent), entries[agent])
    }


def entries_of(
    declared: Mapping[str, Contract], file: ContractFile, learned: Mapping[str, Learned] | None = None
) -> dict[str, Entry]:
    """Return what is declared as entries of the file, each with the consumers that are known."""
    return {
        agent: Entry(replace(contract, consumers=consumers_of(agent, file, declared, learned or {})))
        for agent, contract in declared.items()
    }


def _is_accepted(before: Entry | None, entry: Entry) -> bool:
    if before is None or sorted(before.contract.consumers) != sorted(entry.contract.consumers):
        return False
    if entry.contract.source == "runs":
        return not observed_changes(before.contract, entry.contract)
    return not changes(before.contract, entry.contract)
