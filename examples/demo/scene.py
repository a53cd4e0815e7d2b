"""One scene: an app in a process of its own, over real HTTP against a model server of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from scripted_model import ScriptedModel

from mas_guard.testing import ModelServer

HERE = Path(__file__).parent
GIVES_UP_AFTER = 60  # calls
INPUT_PRICE, OUTPUT_PRICE = Decimal("2.50"), Decimal("10.00")  # gpt-4o, USD per million tokens at list price
MILLION = 1_000_000


@dataclass(frozen=True)
class Seen:
    """What one scene came to; every figure is the model server's, none is mas-guard's.

    Attributes:
        command: What was typed.
        question: What the user asked.
        callers: Who held control at each call that the server answered.
        in_flight: The most calls that were open at once.
        gave_up: Whether the server refused to go on.
        tokens: Input and output together.
        usd: The same at list price.
        answer: What the user got: the app's output, or how it failed.
        failed: Whether the app failed.
        summary: What `mas-guard run` wrote when the app ended; empty for a bare app.
    """

    command: str
    question: str
    callers: tuple[str, ...]
    in_flight: int
    gave_up: bool
    tokens: int
    usd: Decimal
    answer: str
    failed: bool
    summary: str


def play(app: str, *settings: str, guarded: bool) -> Seen:
    """Run *app*, a file beside this one, bare or under `mas-guard run` with *settings* as KEY=VALUE."""
    options = [part for setting in settings for part in ("--set", setting)]
    launcher = ["-m", "mas_guard.cli", "run", *options] if guarded else []
    typed = " ".join(["mas-guard run", *options, app]) if guarded else f"python {app}"
    model = ScriptedModel()
    with ModelServer(model, max_requests=GIVES_UP_AFTER) as server:
        done = subprocess.run(
            [sys.executable, *launcher, str(HERE / app)],
            env=_environment(server.url),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        gave_up = server.count > GIVES_UP_AFTER
    failed = done.returncode != 0
    return Seen(
        command=typed,
        question=model.question.splitlines()[0],
        callers=tuple(model.callers),
        in_flight=server.most_in_flight,
        gave_up=gave_up,
        tokens=model.input_tokens + model.output_tokens,
        usd=(model.input_tokens * INPUT_PRICE + model.output_tokens * OUTPUT_PRICE) / MILLION,
        answer=_last_error(done.stderr) if failed else done.stdout.strip(),
        failed=failed,
        summary=done.stderr.strip() if guarded and not failed else "",
    )


def _environment(url: str) -> dict[str, str]:
    """The demo's own settings only: nothing of the developer's guard, tracing or proxies takes part."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAS_GUARD_", "LANG"))}
    return kept | {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "no-key-needed",
        "LANGSMITH_TRACING": "false",
        "OPENAI_AGENTS_DISABLE_TRACING": "true",
        "NO_PROXY": "127.0.0.1",
        "PYTHONIOENCODING": "utf-8",
    }


def _last_error(stderr: str) -> str:
    """The line of a traceback that names the error."""
    named = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Exceeded)): (.*)$", stderr, re.MULTILINE)
    return ": ".join(named[-1]) if named else stderr.strip()[-300:]
