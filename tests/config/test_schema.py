"""The schema and the reference say everything that a setting is, since both are made from the one table."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mas_guard.config import SETTINGS, json_schema, policy_of, reference


def place_of(key: str) -> dict[str, Any]:
    place = json_schema()
    for part in key.lower().split("__"):
        place = place["additionalProperties"] if part == "*" else place["properties"][part]
    return place


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_the_schema_has_every_setting_with_its_meaning(setting: Any) -> None:
    found = place_of(setting.key)
    assert found["description"] == setting.meaning
    assert ("default" in found) is not setting.named


def test_the_schema_refuses_what_is_no_setting_and_is_plain_json() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["budget"]["additionalProperties"] is False
    assert schema["properties"]["tools"]["additionalProperties"]["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("text", ["90s", "10m", "1h30m", "7d", "500ms", "45", "1.5", "1h 30m"])
def test_a_duration_that_is_read_fits_the_schema(text: str) -> None:
    pattern = next(form["pattern"] for form in place_of("DEADLINE")["anyOf"] if "pattern" in form)
    assert re.search(pattern, text)
    assert policy_of(deadline=text).deadline


@pytest.mark.parametrize("text", ["soon", "", "m", "10x"])
def test_a_duration_that_is_refused_does_not_fit_the_schema(text: str) -> None:
    pattern = next(form["pattern"] for form in place_of("DEADLINE")["anyOf"] if "pattern" in form)
    assert not re.search(pattern, text)


@pytest.mark.parametrize("row", list(reference()), ids=lambda row: row["key"])
def test_every_row_of_the_reference_has_meaning_default_values_and_example(row: dict[str, str]) -> None:
    assert all(row[part] for part in ("key", "variable", "file", "meaning", "default", "values", "example"))
    assert row["meaning"].endswith(".")
    assert "*" not in row["key"] + row["file"]


@pytest.mark.parametrize(
    "setting",
    [setting for setting in SETTINGS if setting.kind in ("integer", "money", "duration")],
    ids=lambda setting: setting.key,
)
def test_every_figure_has_a_unit(setting: Any) -> None:
    assert setting.unit
