"""The file of accepted contracts, `mas-guard.contracts.json`: kept beside the code, read by people in a diff.

    {"version": 1,
     "contracts": {NAME: {"accepted": true, "version": …, "source": …, "consumers": […], "schema": {…}}},
     "proposals": {NAME: {"accepted": false, …}}}

A proposal stands beside what is accepted until a person accepts it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mas_guard.contracts.canonical import binding
from mas_guard.contracts.contract import NOT_DECLARED, Contract
from mas_guard.errors import ConfigError

FILE = "mas-guard.contracts.json"
FILE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One contract of the file.

    Attributes:
        contract: The contract, with its consumers.
        outputs: How many recorded outputs it was learned from; 0 where it was declared.
    """

    contract: Contract
    outputs: int = 0

    def same_as(self, other: Entry) -> bool:
        """True where both would be written alike."""
        return _written(self, True) == _written(other, True)


@dataclass(slots=True)
class ContractFile:
    """What the file says.

    Attributes:
        accepted: What people have accepted, by agent.
        proposals: What `learn` has proposed, by agent.
    """

    accepted: dict[str, Entry] = field(default_factory=dict)
    proposals: dict[str, Entry] = field(default_factory=dict)

    def accept(self, agent: str, entry: Entry) -> None:
        """Take *entry* as accepted; what was proposed for the agent is settled by it."""
        self.accepted[agent] = entry
        self.proposals.pop(agent, None)


def read_contract_file(path: str | os.PathLike[str] = FILE) -> ContractFile:
    """Return what the file at *path* says; nothing where there is no such file.

    Raises:
        ConfigError: Where it cannot be read, is no JSON, or was written by a version that this one does not know.
    """
    place = Path(path)
    try:
        content = json.loads(place.read_text("utf-8"))
    except FileNotFoundError:
        return ContractFile()
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(place, f"{type(error).__name__}: {str(error)[:200]}") from None
    if not isinstance(content, Mapping) or content.get("version") != FILE_VERSION:
        found = content.get("version") if isinstance(content, Mapping) else None
        raise _unreadable(place, f"it has the file version {found!r}, this mas-guard reads {FILE_VERSION}")
    try:
        return ContractFile(
            {agent: _entry(given) for agent, given in content.get("contracts", {}).items()},
            {agent: _entry(given) for agent, given in content.get("proposals", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(place, f"an entry has another form than mas-guard writes ({type(error).__name__})") from None


def write_contract_file(contracts: ContractFile, path: str | os.PathLike[str] = FILE) -> None:
    """Write *contracts* to *path* at once or not at all, agents and keys in a stable order."""
    content = {
        "version": FILE_VERSION,
        "contracts": {agent: _written(entry, True) for agent, entry in sorted(contracts.accepted.items())},
        "proposals": {agent: _written(entry, False) for agent, entry in sorted(contracts.proposals.items())},
    }
    place = Path(path)
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        # Names may hold what is no UTF-8; JSON's escapes can write it.
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
        text = text if text.isascii() or _is_utf8(text) else json.dumps(content, indent=2, default=str)
        beside.write_text(text + "\n", "utf-8")
        os.replace(beside, place)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(
            f"{place} cannot be written ({error.strerror}). Make its folder writable, or name another with --file.",
            source=f"file {place}",
            key="",
        ) from error


def _written(entry: Entry, accepted: bool) -> dict[str, Any]:
    contract = entry.contract
    written: dict[str, Any] = {"accepted": accepted, "version": contract.version, "source": contract.source}
    if entry.outputs:
        written["outputs"] = entry.outputs
    written["consumers"] = sorted(contract.consumers)
    if contract.failure_output is not NOT_DECLARED:
        written["failure_output"] = contract.failure_output
    written["schema"] = binding(contract.schema)
    return written


def _entry(given: Mapping[str, Any]) -> Entry:
    schema = given["schema"]
    if not isinstance(schema, Mapping):
        raise TypeError
    contract = Contract(
        schema,
        given.get("failure_output", NOT_DECLARED),
        tuple(str(name) for name in given.get("consumers", ())),
        str(given.get("source", "")),
    )
    return Entry(contract, int(given.get("outputs", 0)))


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(place: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"{place} cannot be read: {problem}. Restore it from version control, or remove it and accept the contracts anew.",
        source=f"file {place}",
        key="",
    )
