"""What is wrong is said before the app starts, with what fixes it; what must not matter does not."""

from __future__ import annotations

from typing import Any

import pytest

RUNS = "with open('ran', 'w') as file: file.write('yes')"

RAISES = """
import mas_guard
@mas_guard.hookimpl
def mas_guard_run_started(run): raise ZeroDivisionError("a plugin's bug")
"""

MISSPELT = """
import mas_guard
@mas_guard.hookimpl
def mas_guard_before_cal(call, run): ...
"""

KUBERNETES = {
    "MAS_GUARD_SERVICE_HOST": "10.0.0.1",
    "MAS_GUARD_SERVICE_PORT": "80",
    "MAS_GUARD_SERVICE_PORT_HTTP": "80",
    "MAS_GUARD_PORT": "tcp://10.0.0.1:80",
    "MAS_GUARD_PORT_80_TCP": "tcp://10.0.0.1:80",
    "MAS_GUARD_PORT_80_TCP_ADDR": "10.0.0.1",
}


@pytest.fixture
def app(workspace: Any) -> Any:
    """An app that leaves a file behind when it ran."""
    workspace.write("app.py", RUNS)
    return workspace


def ran(app: Any) -> bool:
    """Whether the app was started."""
    return (app.path / "ran").exists()


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        ({"MAS_GUARD_MAX_HOP": "5"}, (), "did you mean MAX_HOPS"),
        ({"MAS_GUARD_MAX_HOPS": "many"}, (), "must be a whole number"),
        ({}, ("--set", "budget.usdd=3"), "did you mean budget.usd"),
        ({}, ("--set", "max_hops"), "is no KEY=VALUE"),
        ({}, ("--set", "tools={broken"), "is no JSON"),
        ({"MAS_GUARD_STORE": "nowhere://x"}, (), "which no plugin brings"),
        ({"MAS_GUARD_CONFIG": "gone.toml"}, (), "there is no such file"),
        ({}, ("--env-file", "gone.env"), "cannot be read"),
    ],
)
def test_a_wrong_setting_fails_before_the_app_runs(
    app: Any, variables: dict[str, str], options: tuple[str, ...], message: str
) -> None:
    done = app.mas_guard("run", *options, "app.py", env=variables)
    assert done.code == 2
    assert message in done.err
    assert not ran(app)


def test_a_broken_settings_file_fails_before_the_app_runs(app: Any) -> None:
    app.write("mas-guard.toml", "max_hops = = 5")
    done = app.mas_guard("run", "app.py")
    assert done.code == 2
    assert "mas-guard.toml is no valid TOML" in done.err and "line 1" in done.err
    assert not ran(app)


def test_variables_that_kubernetes_injects_are_ignored(app: Any) -> None:
    done = app.mas_guard("run", "app.py", env=KUBERNETES)
    assert done.code == 0
    assert ran(app)


def test_a_plugin_that_misspells_a_hook_fails_before_the_app_runs(app: Any) -> None:
    done = app.mas_guard("run", "app.py", env=app.plugin("misspelt", MISSPELT))
    assert done.code == 2
    assert "did you mean mas_guard_before_call?" in done.err
    assert not ran(app)


def test_a_plugin_that_raises_is_counted_and_the_app_runs(app: Any) -> None:
    app.write("app.py", "import mas_guard\nwith mas_guard.run('task'):\n    print('done')")
    done = app.mas_guard("run", "app.py", env=app.plugin("raising", RAISES))
    assert (done.code, done.out) == (0, "done\n")
    assert "ZeroDivisionError: a plugin's bug" in done.err
    assert "1 internal errors" in done.err


def test_a_plugin_that_cannot_be_imported_is_named_and_the_app_runs(app: Any) -> None:
    app.write("app.py", "import mas_guard\nwith mas_guard.run('task'):\n    print('done')")
    broken = app.plugin("broken", "import no_such_module")
    done = app.mas_guard("run", "app.py", env=broken)
    assert (done.code, done.out) == (0, "done\n")
    assert "⚠ plugin 'broken' could not be loaded" in done.err
    required = app.mas_guard("run", "app.py", env={**broken, "MAS_GUARD_REQUIRE_ARMED": "true"})
    assert (required.code, required.out) == (2, "")


def test_a_full_disk_under_the_events_loses_lines_and_says_so(app: Any) -> None:
    app.write("app.py", "import mas_guard\nwith mas_guard.run('task'):\n    print('done')")
    done = app.mas_guard("run", "app.py", env={"MAS_GUARD_EVENTS": "/dev/full"})
    assert (done.code, done.out) == (0, "done\n")
    assert "event lines were lost: set MAS_GUARD_EVENTS to a path that can be written" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name the app"),
        (("gone.py",), "There is no file 'gone.py'"),
        (("python3", "app.py"), "mas-guard run -- python3 app.py"),
        (("--", "no-such-executable"), "There is no executable 'no-such-executable'"),
        (("--what", "app.py"), "No such option"),
    ],
)
def test_an_app_that_is_not_there_is_a_usage_error(app: Any, arguments: tuple[str, ...], message: str) -> None:
    done = app.mas_guard("run", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not ran(app)


def test_a_python_without_mas_guard_says_so_and_does_not_start_where_it_must_be_armed(app: Any) -> None:
    app.write("hide/mas_guard/__init__.py", "raise ImportError('not installed here')")
    env = {"MAS_GUARD_RUN__ACTIVE": "1", "PYTHONPATH": f"{start_directory()}:{app.path / 'hide'}"}
    done = app.python("-c", "print('ran')", env=env)
    assert (done.code, done.out) == (0, "ran\n")
    assert "mas-guard is NOT armed" in done.err and "-m pip install mas-guard" in done.err
    required = app.python("-c", "print('ran')", env={**env, "MAS_GUARD_RUN__REQUIRED": "1"})
    assert (required.code, required.out) == (2, "")


def start_directory() -> str:
    """Where our sitecustomize is."""
    from mas_guard.launch.environment import START

    return START
