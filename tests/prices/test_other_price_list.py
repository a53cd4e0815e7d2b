"""`genai-prices` fills what our table lacks, never breaks the app, and never goes to the network."""

from __future__ import annotations

import logging
import subprocess
import sys
import types
from datetime import UTC, datetime
from typing import Any

import pytest

from mas_guard.config import policy_of
from mas_guard.prices import AS_OF, model_facts
from mas_guard.prices.table import TABLE

genai_prices: Any = pytest.importorskip("genai_prices")


def test_a_model_that_our_table_lacks_is_priced() -> None:
    facts = model_facts("gpt-4o-audio-preview", policy_of())
    assert facts.source == f"genai-prices {genai_prices.__version__}"
    assert facts.priced
    assert facts.max_output is None


def test_the_host_in_a_name_decides_the_price() -> None:
    assert model_facts("groq/llama3-70b-8192", policy_of()).input_cost(1_000) == 590_000


def test_tiers_are_taken_over() -> None:
    facts = model_facts("gpt-5.4-pro", policy_of())
    assert facts.input_cost(272_001) > 2 * facts.input_cost(272_000) * 0.9
    assert facts.per_output_nano > 180_000


@pytest.mark.parametrize("name", ["our-deployment", "gpt-4o-prod", "ft:gpt-5:org::id"])
def test_what_it_does_not_know_stays_unknown(name: str) -> None:
    assert not model_facts(name, policy_of()).priced


def stand_in(monkeypatch: pytest.MonkeyPatch, **prices: Any) -> None:
    def calc_price(usage: Any, reference: str, **options: Any) -> Any:
        if "mystery" not in reference:
            raise LookupError(reference)
        price = prices["price"](options["genai_request_timestamp"])
        return types.SimpleNamespace(
            model=types.SimpleNamespace(id="mystery", context_window=None),
            model_price=types.SimpleNamespace(**price),
        )

    module = types.SimpleNamespace(
        __version__="0", Usage=types.SimpleNamespace, calc_price=prices.get("calc_price", calc_price)
    )
    monkeypatch.setitem(sys.modules, "genai_prices", module)


@pytest.mark.parametrize(
    "price",
    [
        {"input_mtok": 1, "output_mtok": None},
        {"input_mtok": None, "output_mtok": 1},
        {"input_mtok": 0, "output_mtok": 0},
        {},
    ],
)
def test_half_a_price_or_zero_is_no_price(price: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, price=lambda when: price)
    assert not model_facts("mystery", policy_of()).priced


def test_a_price_that_depends_on_the_hour_counts_at_its_dearest(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, price=lambda when: {"input_mtok": 1, "output_mtok": 9 if when.hour == 3 else 2})
    assert model_facts("mystery", policy_of()).per_output_nano == 9_000


def test_its_own_fault_leaves_the_price_unknown_and_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def calc_price(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("broken list")

    stand_in(monkeypatch, calc_price=calc_price)
    with caplog.at_level(logging.WARNING, logger="mas_guard"):
        assert not model_facts("mystery", policy_of()).priced
    assert "broken list" in caplog.text
    assert '[models."mystery"]' in caplog.text


def test_it_is_imported_only_for_a_model_that_our_table_lacks() -> None:
    code = (
        "import sys; from mas_guard.config import policy_of; from mas_guard.prices import model_facts\n"
        "model_facts('gpt-4o', policy_of()); assert 'genai_prices' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", sorted(name for name in TABLE if not name.startswith("ft:")))
def test_our_table_is_never_cheaper_than_the_other_list_on_its_date(name: str) -> None:
    host = "groq" if name.startswith("llama") else None
    usage = genai_prices.Usage(input_tokens=1_000, output_tokens=1_000)
    day = datetime.fromisoformat(AS_OF).replace(hour=12, tzinfo=UTC)
    try:
        theirs = genai_prices.calc_price(usage, name, provider_id=host, genai_request_timestamp=day)
    except LookupError:
        pytest.skip("not in the other list")
    facts = model_facts(name, policy_of())
    assert facts.price is not None
    assert facts.price.input * 1_000 >= theirs.input_price * 10**15
    assert facts.price.output * 1_000 >= theirs.output_price * 10**15
