"""A plugin's fault, or a disk's, is said and does not break the app; a plugin that could never work fails at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mas_guard.testing import ModelServer
from tests.third_party.conftest import Run

FULL_DISK = Path("/dev/full")

ASK_TWICE = """
with mas_guard.run("task", budget={"model_calls": 2}) as run:
    print(ask(), ask())
print(run.outcome.status, mas_guard.status()["internal_errors"], run.outcome.notes)
"""


def test_a_raising_plugin_is_logged_once_and_counted_and_the_app_runs(run_app: Run) -> None:
    done = run_app("raising", ASK_TWICE)
    assert done.stdout.startswith("done done\ncompleted "), done.stderr
    before_each_call, at_the_end = 2, 1
    assert int(done.stdout.split()[3]) >= before_each_call + at_the_end
    assert done.stderr.count("mas_guard_before_call failed with ZeroDivisionError: a bug of the plugin's own") == 1
    assert done.stderr.count("mas_guard_on_event failed with OSError: no route to the dashboard") == 1
    assert "The app goes on without it; fix or remove it." in done.stderr


def test_a_raising_plugin_does_not_lift_a_limit(server: ModelServer, run_app: Run) -> None:
    done = run_app("raising", 'with mas_guard.run("task", budget={"model_calls": 1}):\n    ask()\n    ask()')
    assert "BudgetExceeded" in done.stderr
    assert server.count == 1


@pytest.mark.parametrize("verdict", ["True", "'deny'", "{'action': 'stop'}"])
def test_an_answer_that_is_no_verdict_is_reported_and_does_not_lift_a_limit(
    verdict: str, server: ModelServer, run_app: Run
) -> None:
    done = run_app(
        "",
        f"""
        class Confused:
            @mas_guard.hookimpl
            def mas_guard_before_call(self, call, run):
                return {verdict}

        mas_guard.register(Confused())
        with mas_guard.run("task", budget={{"model_calls": 1}}):
            ask()
            ask()
        """,
    )
    assert "a rule returns a mas_guard.Verdict or None" in done.stderr
    assert "BudgetExceeded" in done.stderr
    assert server.count == 1


def test_a_misspelt_hook_fails_at_once_and_names_the_right_one(server: ModelServer, run_app: Run) -> None:
    done = run_app("misspelt", ASK_TWICE)
    assert done.returncode != 0
    assert "ConfigError" in done.stderr and "misspelt_plugin" in done.stderr
    assert "'mas_guard_befor_call': did you mean mas_guard_before_call?" in done.stderr
    assert server.count == 0


def test_a_plugin_that_cannot_be_imported_is_named_and_the_others_work(server: ModelServer, run_app: Run) -> None:
    done = run_app("broken rule", ASK_TWICE + "\nask('gpt-4o')")
    assert done.stdout.startswith("done done\ncompleted 1 "), done.stderr
    assert "'broken' failed with ModuleNotFoundError: No module named 'a_module_that_is_not_installed'" in done.stderr
    assert server.count == 3  # outside of the run the rule has no say


@pytest.mark.skipif(not FULL_DISK.exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_the_events_leaves_the_app_running_and_the_outcome_says_it(run_app: Run) -> None:
    done = run_app("", ASK_TWICE, EVENTS=str(FULL_DISK))
    assert done.stdout.startswith("done done\ncompleted 0 "), done.stderr
    assert "('event lines could not be written to /dev/full',)" in done.stdout
    assert done.stderr.count("No space left on device") == 1
    assert "set MAS_GUARD_EVENTS to a path that can be written" in done.stderr
