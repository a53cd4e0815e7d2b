"""What `mas-guard run` starts is the app as it would be alone: arguments, paths, exit code, other launchers."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

STOPPED = """
import mas_guard
with mas_guard.run("task", owner="planner", max_hops=1, on_limit="abort") as run:
    for agent in ("planner", "writer", "planner"):
        with run.step(agent):
            pass
"""


def test_the_app_sees_its_own_arguments_and_paths(workspace: Any) -> None:
    app = "import sys, json; print(json.dumps([sys.argv, sys.path, __name__]))"
    workspace.write("app.py", app)
    bare = workspace.python("app.py", "--mode", "x", "-m", "y", "--", "z")
    guarded = workspace.mas_guard("run", "app.py", "--mode", "x", "-m", "y", "--", "z")
    assert guarded.out == bare.out


def test_a_module_gets_the_options_behind_its_name(workspace: Any) -> None:
    workspace.write("tool.py", "import sys; print(sys.argv[1:], __name__)")
    done = workspace.mas_guard("run", "--mode", "observe", "-m", "tool", "--mode", "fast", "-m")
    assert done.out == "['--mode', 'fast', '-m'] __main__\n"


def test_an_executable_stands_behind_two_dashes(workspace: Any) -> None:
    workspace.write("app.py", "import os; print(os.environ['MAS_GUARD_RUN__ACTIVE'])")
    done = workspace.mas_guard("run", "--", sys.executable, "app.py")
    assert (done.code, done.out) == (0, "1\n")


def test_the_exit_code_is_the_apps_own(workspace: Any) -> None:
    workspace.write("app.py", "import sys; sys.exit(7)")
    assert workspace.mas_guard("run", "app.py").code == 7
    workspace.write("app.py", "raise ValueError('the app')")
    failed = workspace.mas_guard("run", "app.py")
    assert failed.code == 1 and "ValueError: the app" in failed.err


def test_a_stop_that_nobody_caught_ends_with_3(workspace: Any) -> None:
    workspace.write("app.py", STOPPED)
    done = workspace.mas_guard("run", "app.py")
    assert done.code == 3
    assert "HopLimitExceeded" in done.err
    assert "↳ hops:" in done.err and "aborted" in done.err


def test_another_sitecustomize_runs_as_well(workspace: Any) -> None:
    workspace.write("site/sitecustomize.py", "import sys; sys.theirs = sys.modules['sitecustomize'].__file__")
    workspace.write("app.py", "import sys; print(sys.theirs == sys.modules['sitecustomize'].__file__)")
    done = workspace.mas_guard("run", "app.py", env={"PYTHONPATH": str(workspace.path / "site")})
    assert done.out == "True\n"


def test_our_directory_stays_on_the_path_of_children_only(workspace: Any) -> None:
    workspace.write("app.py", "import os, sys; print(any('launch' in entry for entry in sys.path))")
    assert workspace.mas_guard("run", "app.py").out == "False\n"


def test_opentelemetrys_hook_arms_only_what_mas_guard_run_started_and_only_once(workspace: Any) -> None:
    code = (
        "import sys; from mas_guard.launch import arm; before = sys.excepthook; arm(); arm(); "
        "print(sys.excepthook is before, len([f for f in sys.meta_path if type(f).__name__ == 'ImportWatch']))"
    )
    assert workspace.python("-c", code).out == "True 0\n"
    launched = workspace.python("-c", code, env={"MAS_GUARD_RUN__ACTIVE": "1"})
    assert launched.out == "False 1\n"


def test_nothing_of_the_guard_is_loaded_before_a_framework_is(workspace: Any) -> None:
    workspace.write(
        "app.py",
        "import sys; print(sorted(m for m in sys.modules if m in "
        "('mas_guard._guard', 'mas_guard.config', 'pluggy', 'click', 'json')))",
    )
    assert workspace.mas_guard("run", "app.py").out == "[]\n"


def test_settings_of_the_command_line_reach_the_app_wherever_it_goes(workspace: Any) -> None:
    workspace.write("mas-guard.toml", "deadline = '5m'\nmax_hops = 9\n")
    workspace.write(".env", "# limits\nexport MAS_GUARD_BUDGET__USD='2.50'\nMAS_GUARD_STEP_TIMEOUT=9s # short\n")
    workspace.write(
        "app.py",
        "import os, mas_guard; os.chdir('/')\n"
        "policy = mas_guard.load_policy({'owner': 'me'})\n"
        "print(policy.max_hops, policy.deadline, policy.budget.usd, policy.step_timeout, policy.owner)\n"
        "print(policy.explain('max_hops').source)",
    )
    done = workspace.mas_guard("run", "--set", "MAX_HOPS=4", "--env-file", ".env", "app.py")
    assert done.out == "4 300.0 2.50 9.0 me\ncommand line\n"


def test_a_variable_that_is_set_beats_the_env_file(workspace: Any) -> None:
    workspace.write(".env", "GREETING=file\nOTHER=file\n")
    workspace.write("app.py", "import os; print(os.environ['GREETING'], os.environ['OTHER'])")
    done = workspace.mas_guard("run", "--env-file", ".env", "app.py", env={"GREETING": "shell"})
    assert done.out == "shell file\n"


def test_what_the_app_instruments_itself_beats_the_command_line(workspace: Any) -> None:
    workspace.write(
        "app.py",
        "import mas_guard; mas_guard.instrument(max_hops=3)\n"
        "from mas_guard._guard import shared_guard; print(shared_guard().process_policy.max_hops)",
    )
    done = workspace.mas_guard("run", "--set", "max_hops=8", "app.py")
    assert done.out == "3\n"
    assert "instrumented already" not in done.err


@pytest.mark.parametrize("flag", ["-I", "-E", "-Ic"])
def test_a_python_that_cannot_be_reached_is_named(workspace: Any, flag: str) -> None:
    command = ("--", sys.executable, flag, "-c" if flag != "-Ic" else "pass", "pass")
    assert f"{flag} does not read PYTHONPATH" in workspace.mas_guard("run", *command).err


def test_runs_of_a_forked_parent_are_not_told_twice(workspace: Any) -> None:
    workspace.write(
        "app.py",
        "import os, sys, mas_guard\n"
        "with mas_guard.run('before the fork'): pass\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    with mas_guard.run('in the child'): pass\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)",
    )
    done = workspace.mas_guard("run", "app.py")
    assert (done.err.count("before the fork"), done.err.count("in the child")) == (1, 1)


def test_the_summary_shows_twenty_runs_and_the_total_of_all(workspace: Any) -> None:
    workspace.write("app.py", "import mas_guard\nfor n in range(30):\n    with mas_guard.run(f'task {n}'): pass")
    done = workspace.mas_guard("run", "app.py")
    assert done.err.count("task ") == 20
    assert "30 runs (30 completed)" in done.err and "10 of them not shown" in done.err


def test_the_summary_is_plain_ascii_where_the_terminal_is(workspace: Any) -> None:
    workspace.write("app.py", STOPPED)
    done = workspace.mas_guard("run", "app.py", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert "-> hops:" in done.err
    assert done.err.isascii()
    assert os.linesep in done.err
