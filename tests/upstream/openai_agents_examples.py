"""The SDK's examples that run offline, bare and under `mas-guard run`, against the same scripted model."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripted_by_schema import reply
from suites import ROOT, unguarded_environment

from mas_guard.testing import ModelServer

LONGEST = 120  # seconds for one example
SHOWN = 12  # lines of a difference

# By folder. Left out: what needs a key, a download, a sandbox, a microphone or hosted tools that have to be real.
NAMES = {
    "agent_patterns": (
        "agents_as_tools", "agents_as_tools_conditional", "agents_as_tools_streaming", "agents_as_tools_structured",
        "deterministic", "forcing_tool_use", "human_in_the_loop", "human_in_the_loop_custom_rejection",
        "human_in_the_loop_stream", "input_guardrails", "llm_as_a_judge", "output_guardrails", "parallelization",
        "routing", "streaming_guardrails",
    ),
    "basic": (
        "agent_lifecycle_example", "dynamic_system_prompt", "hello_world", "hello_world_gpt_5", "image_tool_output",
        "lifecycle_example", "local_file", "local_image", "non_strict_output_type", "previous_response_id",
        "prompt_template", "remote_image", "remote_pdf", "retry", "retry_litellm", "stream_function_call_args",
        "stream_items", "stream_text", "tool_guardrails", "tools", "usage_tracking",
    ),
    "customer_service": ("main",),
    "financial_research_agent": ("main",),
    "handoffs": ("message_filter", "message_filter_streaming"),
    "memory": (
        "advanced_sqlite_session_example", "encrypted_session_example", "file_hitl_example",
        "memory_session_hitl_example", "sqlalchemy_session_example", "sqlite_session_example",
    ),
    "model_providers": ("custom_example_agent", "custom_example_global", "custom_example_provider"),
    "research_bot": ("main",),
    "tools": ("web_search",),
}  # fmt: skip

# What differs from one run to the next: addresses of objects, random ids, clock times.
CHANGING = re.compile(r"0x[0-9a-f]+|\b(?:[a-z]+_)?[0-9a-f]{12,}\b|\d{9,}|\d+\.\d+ ?s(?:econds)?\b")


@dataclass(frozen=True)
class Ending:
    """How an example ended: its exit status, what it printed, how often it asked the model."""

    status: int | str
    asked: int
    printed: str
    errors: str


@dataclass(frozen=True)
class Examples:
    """The examples of one version.

    Attributes:
        title: What they are printed under.
        adapter: The name of the adapter that has to be armed.
        python: The interpreter of the version's environment.
        source: The unpacked source distribution.
    """

    title: str
    adapter: str
    python: Path
    source: Path

    def compare(self) -> int:
        """Print how the examples ended, bare and guarded, and every difference; returns how many differ."""
        names = [f"{folder}/{name}" for folder, inside in NAMES.items() for name in inside]
        names = [name for name in names if (self.source / "examples" / f"{name}.py").exists()]
        print(self.title, flush=True)
        bare = self._endings(names, guarded=False)
        guarded = self._endings(names, guarded=True)
        different = 0
        for name in names:
            differences = [*self._differences(name, bare[name], guarded[name]), *self._trouble(guarded[name])]
            if differences:
                different += 1
                print(f"  differs  {name}")
                print("\n".join(f"    {line[:200]}" for line in differences))
        for name in names:
            if bare[name].status != 0:
                print(f"  exits with {bare[name].status} bare  {name}")
        return different

    def ending(self, name: str, *, guarded: bool) -> Ending:
        """Run one example, in an empty folder of its own."""
        start = [self.python.parent / "mas-guard", "run"] if guarded else [self.python]
        with ModelServer(reply) as server, tempfile.TemporaryDirectory() as folder:
            command = [*start, "-m", "seeded", "examples." + name.replace("/", ".")]
            try:
                finished = subprocess.run(
                    command, cwd=folder, env=self._environment(server.url), text=True, stdin=subprocess.DEVNULL,
                    capture_output=True, check=False, timeout=LONGEST,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return Ending("no end", server.count, "", "")
            printed = CHANGING.sub("…", finished.stdout.replace(folder, "…"))
            return Ending(finished.returncode, server.count, printed, finished.stderr)

    def _endings(self, names: list[str], *, guarded: bool) -> dict[str, Ending]:
        with ThreadPoolExecutor(2) as pool:
            endings = dict(zip(names, pool.map(partial(self.ending, guarded=guarded), names), strict=True))
        good = sum(ending.status == 0 for ending in endings.values())
        asked = sum(ending.asked for ending in endings.values())
        label = "guarded" if guarded else "bare"
        print(f"  {label:8} {good} of {len(names)} exit with 0, {asked} model calls", flush=True)
        return endings

    def _differences(self, name: str, bare: Ending, guarded: Ending) -> list[str]:
        """What differs, and does so again when this one runs alone."""
        first = _differences(bare, guarded)
        if not first:
            return []
        again = _differences(self.ending(name, guarded=False), self.ending(name, guarded=True))
        if not again:
            print(f"  the same when run again  {name}: {first[0]}")
        return again

    def _trouble(self, guarded: Ending) -> Iterator[str]:
        """What the closing summary of `mas-guard run` says of the guard itself."""
        if guarded.status != "no end" and f"{self.adapter}: armed" not in guarded.errors:
            yield f"NOT ARMED: {self.adapter}"
        yield from (line for line in guarded.errors.splitlines() if re.search(r"\d internal errors", line))

    def _environment(self, url: str) -> dict[str, str]:
        paths = (self.source / "src", self.source, ROOT / "tests" / "upstream")
        return unguarded_environment() | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "EXAMPLES_INTERACTIVE_MODE": "auto",
            "OPENAI_BASE_URL": url,
            "OPENAI_API_KEY": "offline",
            "EXAMPLE_BASE_URL": url,
            "EXAMPLE_API_KEY": "offline",
            "EXAMPLE_MODEL_NAME": "gpt-4o-mini",
            "COLUMNS": "120",
            # Nothing leaves this machine: traces are not sent, and what asks for any other host fails at once.
            "OPENAI_AGENTS_DISABLE_TRACING": "true",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
        }


def _differences(bare: Ending, guarded: Ending) -> list[str]:
    found = []
    if bare.status != guarded.status:
        found += [f"exit status {bare.status} bare, {guarded.status} guarded", *guarded.errors.splitlines()[-SHOWN:]]
    if bare.asked != guarded.asked:
        found.append(f"model calls {bare.asked} bare, {guarded.asked} guarded")
    lines = difflib.unified_diff(bare.printed.splitlines(), guarded.printed.splitlines(), lineterm="", n=0)
    return found + list(lines)[2 : 2 + SHOWN]
