"""Output contracts: what an agent's output must have, and who takes it.

A `Contract` is a JSON schema with a version. `contract_of` makes one of a framework's own type, `violations` says what
of an output is not as it says, `shape_of` and `merge_shapes` learn one from outputs without keeping their contents, and
`check_drift` names whom a change of one concerns.
"""

from __future__ import annotations

from mas_guard.contracts.accepted import FILE, ContractFile, Entry, read_contract_file, write_contract_file
from mas_guard.contracts.changes import Change, changes, observed_changes
from mas_guard.contracts.contract import FREE_TEXT, NOT_DECLARED, Contract
from mas_guard.contracts.declared import contract_of, contracts_in_settings, declared_contracts
from mas_guard.contracts.drift import Checked, Drift, check_drift, consumers_of
from mas_guard.contracts.learning import Learned, Learning
from mas_guard.contracts.proposals import entries_of, proposals
from mas_guard.contracts.shapes import merge_shapes, shape_of
from mas_guard.contracts.validation import violations

__all__ = [
    "FILE",
    "FREE_TEXT",
    "NOT_DECLARED",
    "Change",
    "Checked",
    "Contract",
    "ContractFile",
    "Drift",
    "Entry",
    "Learned",
    "Learning",
    "changes",
    "check_drift",
    "consumers_of",
    "contract_of",
    "contracts_in_settings",
    "declared_contracts",
    "entries_of",
    "merge_shapes",
    "observed_changes",
    "proposals",
    "read_contract_file",
    "shape_of",
    "violations",
    "write_contract_file",
]
