"""A rule, a store and an adapter of somebody else's take effect by being installed; the core knows none of them."""

from __future__ import annotations

import os
import subprocess
import sys

from mas_guard.testing import ModelServer
from tests.third_party.conftest import PACKAGES, Run

ASK_CHEAP_THEN_DEAR = """
with mas_guard.run("task") as run:
    ask()
    try:
        ask("gpt-4o")
    except mas_guard.GuardStopped:
        pass
    ask()
"""


def test_a_rule_vetoes_a_call_and_its_verdict_stands_in_the_outcome(server: ModelServer, run_app: Run) -> None:
    done = run_app(
        "rule",
        """
        try:
            with mas_guard.run("task") as run:
                ask()
                ask("gpt-4o")
        except mas_guard.GuardStopped as stop:
            print(stop.rule, "|", stop.outcome.status, "|", stop.outcome.reason)
        """,
    )
    assert done.stdout.strip() == ("cheap_models | aborted | gpt-4o is not on the list of cheap models; ask a mini."), (
        done.stderr
    )
    assert server.count == 1


def test_a_rules_stop_is_as_sticky_as_the_guards_own(server: ModelServer, run_app: Run) -> None:
    done = run_app("rule", ASK_CHEAP_THEN_DEAR)
    assert "GuardStopped: gpt-4o is not on the list" in done.stderr
    assert server.count == 1


def test_a_rule_can_be_observed_alone(server: ModelServer, run_app: Run) -> None:
    done = run_app("rule", ASK_CHEAP_THEN_DEAR, RULES__CHEAP_MODELS__MODE="observe")
    assert done.returncode == 0, done.stderr
    assert server.count == 3


def test_without_its_package_the_rule_is_gone(server: ModelServer, run_app: Run) -> None:
    assert run_app("", ASK_CHEAP_THEN_DEAR).returncode == 0
    assert server.count == 3


def test_a_store_is_chosen_by_its_url(server: ModelServer, run_app: Run) -> None:
    done = run_app(
        "store",
        """
        import counting_store
        try:
            with mas_guard.run("task", budget={"model_calls": 2}):
                for _ in range(3):
                    ask()
        except mas_guard.BudgetExceeded:
            print([ledger.reserves for ledger in counting_store.opened])
        """,
        STORE="counting://here",
    )
    assert done.stdout.strip() == "[3]", done.stderr
    assert server.count == 2


def test_a_store_that_nobody_brings_is_refused_with_the_known_ones(run_app: Run) -> None:
    done = run_app("store", "mas_guard.instrument()", STORE="countng://here")
    assert done.returncode != 0
    assert "countng" in done.stderr and "known: counting, memory" in done.stderr


def test_a_store_of_somebody_elses_keeps_the_ledger_contract() -> None:
    contract = PACKAGES / "store" / "contract_of_counting_store.py"
    environment = os.environ | {"PYTHONPATH": str(contract.parent)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(contract)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


PASS_IT_ROUND = """
import relay

def agent(other):
    return lambda text: (relay.complete("gpt-4o-mini", text)["text"], other)

app = mas_guard.wrap(relay.Relay("sales", {"sales": agent("legal"), "legal": agent("sales")}), **LIMITS)
try:
    app.run("Who pays for this?")
except mas_guard.GuardStopped as stop:
    print(type(stop).__name__, stop.outcome.hops, len(relay.asked), stop.outcome.path[:3], stop.outcome.run.owner)
"""


def test_an_adapter_of_somebody_elses_brings_hops_and_owner_to_its_framework(run_app: Run) -> None:
    done = run_app("adapter", "LIMITS = {'max_hops': 3}" + PASS_IT_ROUND)
    assert done.stdout.strip() == "HopLimitExceeded 3 4 ('sales', 'legal', 'sales') sales", done.stderr


def test_an_adapter_of_somebody_elses_brings_budgets_to_its_framework(run_app: Run) -> None:
    done = run_app("adapter", "LIMITS = {'budget': {'model_calls': 2}}" + PASS_IT_ROUND)
    assert done.stdout.startswith("BudgetExceeded 2 2 "), done.stderr


def test_an_adapter_outside_its_supported_versions_is_refused(run_app: Run) -> None:
    done = run_app(
        "adapter", "import relay_guard\nrelay_guard._adapter.supports = '>=3,<4'\nLIMITS = {}" + PASS_IT_ROUND
    )
    assert "UnsupportedVersion: relay 2.1 is installed" in done.stderr
    assert 'pip install "relay>=3,<4"' in done.stderr
