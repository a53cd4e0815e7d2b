"""What the documentation shows is what happens: each page's snippets run, in order, against a scripted model.

- A `python` block runs in the page's one namespace, in an empty folder; with `title="app.py"` it is that file too.
- A `toml` block with a title is written to that file.
- A `console` block's `$ mas-guard …` and `$ python …` lines are run there as well.
- A `text` block that follows one of these is the output, with `...` for what may differ.
- A block after `<!-- not run: reason -->` is not run.

Pages about CrewAI run in an environment that has it: see `tests/crewai/test_crewai_docs.py`.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import mas_guard
from mas_guard import _guard
from mas_guard.config import SETTINGS, reference
from mas_guard.testing import ModelServer, Reply, Request, call, text

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?P<not_run><!-- not run: [^>]+ -->\s*\n)?^```(?P<language>\w*)(?P<info>[^\n]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, and the line it begins at."""

    language: str
    title: str
    body: str
    line: int
    runs: bool


def blocks_of(page: Path) -> list[Block]:
    source = page.read_text("utf-8")
    return [
        Block(
            found["language"],
            (re.search(r'title="([^"]+)"', found["info"]) or ["", ""])[1],
            found["body"],
            source[: found.start("body")].count("\n"),
            not found["not_run"],
        )
        for found in FENCE.finditer(source)
    ]


def is_about_crewai(page: Path) -> bool:
    """True where a snippet that runs imports CrewAI, which cannot be installed beside the current Agents SDK."""
    return any(
        re.search(r"^(from|import) crewai\b", block.body, re.MULTILINE) for block in blocks_of(page) if block.runs
    )


CREWAI_PAGES = [page for page in PAGES if is_about_crewai(page)]


def page_model(request: Request) -> Reply | str:
    """Hands on where it can, repeats the tool it has, and concludes where it is told that the run was stopped."""
    if "[mas-guard]" in request.last_text:
        return "Here is what we know so far."
    if request.streamed:
        return text("We are open from nine to five.")
    if "not transferred" in request.last_text:
        return "Then this is the text."
    last = request.last_text.lower()
    for name in request.tool_names:
        if name.startswith("transfer_to_") and "just answer" not in last:
            return call(name)
        if name == "search":
            return call(name, query="invoice 4711")
    return "We are open from nine to five."


@contextlib.contextmanager
def served(
    script: Callable[[Request], Reply | str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModelServer]:
    """A guard-free process in an empty folder, with a scripted model behind the usual variables."""
    for name in list(os.environ):
        if name.startswith(("MAS_GUARD_", "OPENAI_", "LANG")):
            monkeypatch.delenv(name)
    mas_guard.uninstrument()
    # A page is a process of its own: what it names by a relative path lies in its own folder, not in another page's.
    monkeypatch.setattr(_guard, "_shared", None)
    with ModelServer(script, max_requests=300) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", "offline")
        monkeypatch.setenv("LANGSMITH_TRACING", "false")
        monkeypatch.chdir(folder)
        yield running
    mas_guard.uninstrument()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with served(page_model, tmp_path, monkeypatch) as running:
        yield running


def run_python(block: Block, namespace: dict[str, object], page: Path) -> str:
    if block.title:
        Path(block.title).write_text(block.body, "utf-8")
    printed = io.StringIO()
    code = compile("\n" * block.line + block.body, str(page), "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, namespace)
    return printed.getvalue()


def run_console(block: Block) -> str:
    printed = []
    for line in block.body.splitlines():
        if not line.startswith("$ "):
            continue
        words = shlex.split(line.removeprefix("$ "))
        variables = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        assert words[0] in ("mas-guard", "python"), f"{line}: only these two are run"
        command = ["-m", "mas_guard.cli", *words[1:]] if words[0] == "mas-guard" else words[1:]
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, **variables, "PYTHONIOENCODING": "utf-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        printed.append(done.stdout)
    return "".join(printed)


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if page not in CREWAI_PAGES], ids=page_name)
def test_the_pages_snippets_do_what_it_says(page: Path, server: ModelServer) -> None:
    check(page)


def check(page: Path) -> None:
    """Run *page* from its top, and compare what it shows with what is printed."""
    # A module of its own, as annotations in snippets are looked up there.
    module = types.ModuleType("page")
    sys.modules["page"] = module
    printed: str | None = None
    for block in blocks_of(page):
        if block.language == "text" and printed is not None:
            want = block.body.replace("[...]", "...")
            same = doctest.OutputChecker().check_output(want, printed, SAME)
            assert same, f"{page.name}:{block.line} shows\n{block.body}\nbut it printed\n{printed}"
        printed = None
        if not block.runs:
            continue
        if block.language == "python":
            printed = run_python(block, vars(module), page)
        elif block.language == "console":
            printed = run_console(block)
        elif block.language == "toml" and block.title:
            Path(block.title).write_text(block.body, "utf-8")


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "zensical.toml").read_text("utf-8")
    missing = [page for page in PAGES[1:] if f'"{page.relative_to(ROOT / "docs").as_posix()}"' not in navigation]
    assert not missing


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#([^)\s]*))?\)", page.read_text("utf-8")):
            found = (page.parent / target).resolve() if target else page
            assert found.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in anchors(found), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_setting_has_meaning_unit_default_and_an_example() -> None:
    figures = ("integer", "money", "price", "share", "duration")
    for setting, row in zip(SETTINGS, reference(), strict=True):
        assert row["meaning"] and row["default"] and row["example"], row["key"]
        assert row["unit"] or setting.kind not in figures, row["key"]


def test_no_page_loads_anything_from_elsewhere() -> None:
    assert "font = false" in (ROOT / "zensical.toml").read_text("utf-8")
