"""The pages and the examples about CrewAI, run as `tests/test_docs.py` and `tests/test_examples.py` run all others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mas_guard.testing import Reply, Request
from tests import test_docs, test_examples


def script_of(page: Path) -> Callable[[Request], Reply | str]:
    """The model of *page*: what it gives its readers as `script.py`, else the one of all pages."""
    namespace: dict[str, Any] = {}
    for block in test_docs.blocks_of(page):
        if block.title == "script.py":
            exec(block.body, namespace)
    replies: Callable[[Request], Reply | str] = namespace.get("replies", test_docs.page_model)
    return replies


@pytest.mark.parametrize("page", test_docs.CREWAI_PAGES, ids=test_docs.page_name)
def test_the_pages_snippets_do_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with test_docs.served(script_of(page), tmp_path, monkeypatch):
        test_docs.check(page)


@pytest.mark.parametrize("name", test_examples.SHOWN_BY_CREWS)
def test_the_example_shows_what_it_is_there_for(name: str) -> None:
    test_examples.check(name, test_examples.SHOWN_BY_CREWS[name])


def test_there_is_something_to_run() -> None:
    assert test_docs.CREWAI_PAGES and test_examples.SHOWN_BY_CREWS
