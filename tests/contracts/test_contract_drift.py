"""A changed contract says what changed and whom it concerns: the agents that take the output, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from mas_guard.contracts import (
    Contract,
    ContractFile,
    Entry,
    Learned,
    changes,
    check_drift,
    declared_contracts,
    observed_changes,
    shape_of,
)


def contract(required: str = "", **properties: Any) -> Contract:
    """A contract of an object; all fields are required unless said."""
    kinds = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in properties.items()}
    return Contract({"type": "object", "properties": kinds, "required": required.split() or sorted(properties)})


BEFORE = contract(number="string", amount="number", status={"enum": ["open", "paid"]})


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (contract(number="string", total="number", status={"enum": ["open", "paid"]}),
         [("renamed", "`amount` was renamed to `total` (a number)")]),
        (contract(number="string", status={"enum": ["open", "paid"]}), [("removed", "`amount` was removed (a number)")]),
        (contract(number="string", amount="number", status={"enum": ["open", "paid"]}, note="string"),
         [("added", "`note` was added (text)")]),
        (contract(number="string", amount="string", status={"enum": ["open", "paid"]}),
         [("type", "`amount` is text where it was a number")]),
        (contract("amount status", number="string", amount="number", status={"enum": ["open", "paid"]}),
         [("required", "`number` may now be missing")]),
        (contract(number="string", amount="number", status={"enum": ["open", "closed"]}),
         [("values", "`status` is now one of 'closed', 'open'")]),
        (contract(number="string", net={"type": "object"}, status={"enum": ["open", "paid"]}),
         [("removed", "`amount` was removed (a number)"), ("added", "`net` was added (an object)")]),
        (contract(number={"type": "string", "maxLength": 9}, amount="number", status={"enum": ["open", "paid"]}),
         [("other", "what the schema says beside fields and types changed")]),
        (Contract({"type": "array", "items": BEFORE.schema}),
         [("removed", "`number` was removed (text)"), ("removed", "`amount` was removed (a number)"),
          ("removed", "`status` was removed (text)"), ("added", "`[]` was added (an object)"),
          ("type", "the output is a list where it was an object")]),
        (Contract(BEFORE.schema, failure_output={}), [("failure_output", "the failure output changed")]),
        (BEFORE, []),
    ],
)  # fmt: skip
def test_what_changed_is_said_field_by_field(after: Contract, said: list[tuple[str, str]]) -> None:
    assert sorted((one.kind, one.text) for one in changes(BEFORE, after)) == sorted(said)


def test_several_renamed_fields_are_paired_by_their_names() -> None:
    before = contract(first_name="string", last_name="string", street="string")
    after = contract(forename="string", lastname="string", town="string")
    assert [one.text for one in changes(before, after)] == [
        "`first_name` was renamed to `forename` (text)",
        "`last_name` was renamed to `lastname` (text)",
        "`street` was removed (text)",
        "`town` was added (text)",
    ]


def test_a_field_that_went_in_one_place_is_not_one_that_came_in_another() -> None:
    before = contract(customer=contract("name", name="string", town="string").schema)
    after = contract(customer=contract("name", name="string").schema, place="string")
    assert [one.text for one in changes(before, after)] == [
        "`customer.town` was removed (text)",
        "`place` was added (text)",
    ]


def test_changes_inside_objects_and_lists_have_a_path() -> None:
    def order(**line: str) -> Contract:
        lines = {"type": "array", "items": contract(**line).schema}
        return contract(lines=lines, customer={"anyOf": [contract(name="string").schema, {"type": "null"}]})

    assert [one.text for one in changes(order(price="number"), order(cost="number"))] == [
        "`lines[].price` was renamed to `lines[].cost` (a number)"
    ]


def test_recorded_outputs_differ_only_where_they_break_what_is_accepted() -> None:
    accepted = contract("number", number="string", amount="number", note="string")

    def seen(*outputs: dict[str, Any]) -> list[str]:
        from mas_guard.contracts import merge_shapes

        return [one.text for one in observed_changes(accepted, Contract(merge_shapes(*map(shape_of, outputs))))]

    assert seen({"number": "1"}, {"number": "2", "amount": 3, "note": "x"}) == []
    assert seen({"amount": 3.5, "note": "x"}) == ["`number` was removed (text)"]
    assert seen({"number": "1"}, {"amount": 2}) == ["`number` may now be missing"]
    assert seen({"number": 7}) == ["`number` is a whole number where it was text"]
    assert seen({"number": "1", "currency": "EUR"}) == ["`currency` was added (text)"]


FOUR = {
    "extractor": Contract(BEFORE.schema, consumers=("checker", "booker"), source="settings"),
    "checker": Contract(contract(valid="boolean").schema, consumers=("booker",), source="settings"),
    "booker": Contract(contract(reference="string").schema, consumers=("mailer",), source="settings"),
    "mailer": Contract(contract(subject="string").schema, source="settings"),
}
SETTINGS = frozenset({"settings"})


def accepted(contracts: dict[str, Contract]) -> ContractFile:
    return ContractFile({agent: Entry(one) for agent, one in contracts.items()})


@pytest.mark.parametrize("agent", list(FOUR))
def test_a_change_concerns_exactly_the_direct_consumers(agent: str) -> None:
    changed = {**FOUR, agent: Contract(contract(other="string").schema, source="settings")}
    checked = check_drift(accepted(FOUR), changed, {}, SETTINGS)
    assert [(drift.agent, drift.consumers) for drift in checked.drifts] == [
        (agent, tuple(sorted(FOUR[agent].consumers)))
    ]
    assert checked.equal == sorted(set(FOUR) - {agent})


def test_consumers_that_runs_have_shown_count_before_those_that_might_be() -> None:
    changed = {
        "extractor": Contract(contract(other="string").schema, consumers=("anybody", "booker"), source="settings")
    }
    file = accepted({"extractor": Contract(BEFORE.schema, source="settings")})
    shown = {"extractor": Learned(None, 0, ("booker",))}
    assert check_drift(file, changed, shown, SETTINGS).drifts[0].consumers == ("booker",)
    assert check_drift(file, changed, {}, SETTINGS).drifts[0].consumers == ("anybody", "booker")


def test_a_contract_that_is_new_or_gone_is_drift_and_one_that_was_not_looked_at_is_not() -> None:
    file = accepted({"gone": FOUR["mailer"], "learned": Contract(BEFORE.schema, source="runs")})
    checked = check_drift(file, {"new": FOUR["checker"]}, {}, SETTINGS)
    assert [(drift.agent, drift.before is None, drift.after is None) for drift in checked.drifts] == [
        ("gone", False, True),
        ("new", True, False),
    ]
    assert checked.not_checked == ["learned"]


def test_what_runs_show_stands_for_agents_that_declare_nothing() -> None:
    file = accepted({"extractor": Contract(contract(number="string").schema, consumers=("booker",), source="runs")})
    seen = {"extractor": Learned(Contract(shape_of({"nr": "1"}), source="runs"), 3, ())}
    drift = check_drift(file, {}, seen, frozenset({"runs"})).drifts[0]
    assert [one.text for one in drift.changes] == ["`number` was renamed to `nr` (text)"]
    assert drift.consumers == ("booker",)


def test_plain_python_declares_by_a_mapping() -> None:
    assert declared_contracts({"writer": str})["writer"].is_text
    assert declared_contracts(object()) == {}
