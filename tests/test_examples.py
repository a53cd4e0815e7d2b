"""Every example runs offline, as a user would start it, and prints what it is there to show.

Those of CrewAI run in an environment that has it: see `tests/crewai/test_crewai_docs.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

SHOWN = {
    "swarm.py": [
        "answer:  This is draft 7.",
        "outcome: partial by hops",
        "14 model calls",
    ],
    "supervisor.py": [
        "completed: Order 17 can go out today.\n  3 hops, 7 model calls\n",
        "partial: Stock says",
        "4 hops, 10 model calls, ended by hops",
    ],
    "fan_out.py": [
        "From 6 of 50 chapters",
        "8 calls sent, outcome partial\nwithout an owner: BudgetExceeded, outcome aborted\n",
        "ON_LIMIT=partial: 8 summaries returned",
    ],
    "chat_server.py": [
        "end: {'status': 'completed', 'rule': ''}",
        "end: {'status': 'partial', 'rule': 'hops'}",
        "(the client goes away)",
        "aborted (client gone)",
    ],
    "nightly_batch.py": [
        "letter 3   not done: 6 of its own 6 model calls are spent",
        "letter 12  not done: 20 of the night's 20 model calls are spent",
        "calls sent: 20 of at most 20",
    ],
    "customer_service.py": [
        "billing: Invoice 4711: March licence, 240 EUR, charged twice, paid once.\n  completed, hops: 1\n",
        "(a case of 240.0 EUR is opened)\n  not transferred: refunds takes other input (invoice: Input should be",
        "not transferred: phone is disabled at the moment.",
        "not transferred: legal does not exist",
        "partial by hops, hops: 12",
    ],
    "agents_as_tools.py": [
        "orchestrator: 'Good morning' in Spanish; 'Good morning' in French; 'Good morning' in Italian\n"
        "  completed: 5 model calls, 3 tool calls, hops: 0\n",
        "partial by budget: 8 model calls",
    ],
    "streaming_fastapi.py": [
        "end: {'status': 'completed', 'rule': ''}",
        "end: {'status': 'partial', 'rule': 'hops'}",
        "(the client goes away)",
        "aborted (client gone)",
    ],
    "approval.py": [
        "waits for a decision about pay_back",
        "suspended: waits for a human input; hops: 1, 2 of 5 model calls",
        "refunds: Done: 240.0 EUR are paid back for invoice 4711.",
        "completed; hops: 1, 3 of 5 model calls",
        "calls that the model server saw: 3",
    ],
    "silent_worker.py": [
        "refused\n  bare:    It was closed for three days.\n  infer:    We could not find out (the model refused to answer).",
        "empty\n  bare:    It was closed for three days.\n  infer:    It was closed for three days.\n"
        "            partial; the researcher's answer: failed the output is empty\n"
        "  require:  We could not find out (the output is empty).",
        "require:  We could not find out (two of three sources are missing).",
        "completed; the researcher's answer: success all sources agree",
    ],
    "handoff_packets.py": [
        "off: billing says: What is this about, please?\n  recorded as missing: nothing\n",
        "infer: billing says: What is this about, please?\n  recorded as missing: context, output_format, on_failure\n",
        "billing was shown:\n    [mas-guard] You have been handed this task by 'triage'.\n    Task:\n    Please settle it.",
        "triage was told: not transferred: say before you hand over to billing: Context: what is known so far;",
    ],
    "endless_refining.py": [
        "reworded, bare: Ships should wait. (Asked 12 times.) 49 model calls.\n",
        "reworded, patience 4: Ships should wait. (Asked 5 times.) 21 model calls.\n  partial by convergence\n",
        "improved, patience 4: Ships should wait. (Asked 12 times.) 49 model calls.\n  completed\n",
        "improved, max_rounds 6: Ships should wait.",
        "approved, done_when: Ships should wait. (Asked once.) 5 model calls.\n  completed\n",
    ],
    "refund_once.py": [
        "anna-bare: killed after the bank has paid, then gone on with\n  refund: A1 is paid back\n  refund: A1 is paid back\n"
        "  times that the bank has paid: 3\n",
        "it is unknown whether it happened; do not repeat it",
        "note: it is unknown whether refund happened",
        "ben: nothing goes wrong\n  refund: B2 is paid back\n  refund: B2 is paid back\n  times that the bank has paid: 1\n",
    ],
    "person_decides.py": [
        "anna waits: escalated, decided: None\n$ mas-guard reviews approve rv_",
        "anna gets: You owe 80 EUR for March.\n",
        "ben gets: We will get back to you within a day. (rejected by carla: he owes 40 EUR)\n",
        "calls that the model server saw: 2",
    ],
    "celery_workers/main.py": [
        "From 8 of 50 pages: the sea, and who lives by it.\n  partial by budget: 8 of 8 model calls booked\n"
        "  8 calls sent by four processes, for 50 tasks\n",
        "'BudgetExceeded': 42",
        "  BudgetExceeded, aborted by budget: 8 calls sent\n",
    ],
    "fastapi_workers/main.py": [
        "one run, 40 questions: 8 calls sent by 2 workers\n"
        "  partial by budget, 8 of 8 calls; answers: {200: 8, 429: 32}\n"
        "acme: 4 of 6 requests were answered, then {'rule': 'budget', 'window': 'tenant-day'}\n"
        "globex: 6 of 6 requests were answered\n",
    ],
}

SHOWN_BY_CREWS = {
    "crewai_research.py": [
        "an apology\n"
        "  bare:     I'm sorry, I cannot access the internet. | A berth costs 20 EUR a night. | Report: three days closed",
        "  require:  I'm sorry, I cannot access the internet. | A berth costs 20 EUR a night. | - (3 requests)\n"
        "            partial; the researcher's answer: failed\n",
        "empty\n  bare:     raises ValueError (3 requests)\n",
        "provider down\n  bare:     raises InternalServerError (9 requests)\n"
        "  infer:    raises InternalServerError (3 requests)\n",
        "  require:  - | A berth costs 20 EUR a night. | - (4 requests)\n            partial;",
    ],
    "crewai_hierarchical.py": [
        "Order 17 can go out today.\n  7 model calls, 3 hops, completed\n",
        "were not asked.\n  51 model calls, bare\n",
        "were not asked.\n  26 model calls, 12 hops, partial by hops\n",
        "were not asked.\n  7 model calls, 3 hops, partial by convergence\n",
    ],
    "crewai_flow.py": [
        "Draft 3.\n  completed, 4 hops, 6 model calls\n",
        "HopLimitExceeded; not approved yet: Draft 7.\n  aborted, 12 hops, 14 model calls\n",
        "HopLimitExceeded; not approved yet: Draft 3.\n  aborted, 4 hops, 6 model calls\n",
        "BudgetExceeded; not approved yet: Draft 4.\n  aborted, 7 hops, 8 model calls\n",
    ],
    "crewai_batch.py": [
        "at most six calls each\n  11 x We are sorry.\n   1 x We have your letter; it needs a closer look.\n"
        "  28 model calls sent\n  letter 3: partial by budget, 6 calls\n",
        "and at most twenty for all\n   7 x We are sorry.\n   1 x We have your letter; it needs a closer look.\n"
        "   4 x (not begun)\n  20 model calls sent\n",
    ],
}


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """Start *path* with nothing of the developer's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAS_GUARD_", "OPENAI_", "LANG"))}
    return subprocess.run(
        [sys.executable, str(path)],
        env=kept | {"LANGSMITH_TRACING": "false", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def check(name: str, shown: list[str]) -> None:
    """Run the example *name*; all of *shown* stands in what it prints."""
    done = run(EXAMPLES / name)
    assert done.returncode == 0, done.stderr
    for line in shown:
        assert line in done.stdout, f"{name} does not print\n{line}\nbut\n{done.stdout}"


@pytest.mark.parametrize("name", SHOWN)
def test_the_example_shows_what_it_is_there_for(name: str) -> None:
    check(name, SHOWN[name])


def test_no_example_is_left_out() -> None:
    found = [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*/main.py")]
    assert {path.relative_to(EXAMPLES).as_posix() for path in found} == {*SHOWN, *SHOWN_BY_CREWS}


def test_the_demo_shows_both_sides_and_fits_the_page() -> None:
    done = run(EXAMPLES / "demo" / "demo.py")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["model", "calls", "sent", "60,", "then", "the", "server", "gave", "up", "14"] in rows
    assert ["model", "calls", "sent", "10", "11"] in rows
    assert "MaxTurnsExceeded: Max turns (10)" in done.stdout
    assert "You paid 59 EUR for the lamp." in done.stdout
    assert ["model", "calls", "sent", "52", "8"] in rows
    assert "no answer but a traceback" in done.stdout
    assert "6 of 50 disputes checked" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 100
    excerpt = (ROOT / "README.md").read_text("utf-8").split("```")[1]
    assert [line for line in excerpt.splitlines() if line not in done.stdout] == []


def test_the_demo_apps_know_nothing_of_the_guard() -> None:
    for name in ("app.py", "parcel.py", "fan_out.py"):
        assert "import mas_guard" not in (EXAMPLES / "demo" / name).read_text("utf-8")
        assert "from mas_guard" not in (EXAMPLES / "demo" / name).read_text("utf-8")
