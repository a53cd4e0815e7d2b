"""Exact counts come from a vocabulary that is here already; none is ever fetched."""

from __future__ import annotations

import base64
import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from mas_guard.prices import exact_counter, tokenizer

tiktoken: Any = pytest.importorskip("tiktoken")
load_module: Any = importlib.import_module("tiktoken.load")
registry: Any = importlib.import_module("tiktoken.registry")
vocabularies: Any = importlib.import_module("tiktoken_ext.openai_public")
load_tiktoken_bpe = load_module.load_tiktoken_bpe

ADDRESS = "https://vocabulary.invalid/tiny.tiktoken"
RANKS = [bytes([byte]) for byte in range(256)] + [b"he", b"ll", b"hell", b"hello"]
CONTENT = b"\n".join(base64.b64encode(token) + b" " + str(rank).encode() for rank, token in enumerate(RANKS))


def tiny() -> dict[str, Any]:
    """A vocabulary as tiktoken's extensions declare theirs."""
    ranks = load_tiktoken_bpe(ADDRESS, expected_hash=hashlib.sha256(CONTENT).hexdigest())
    return {"name": "tiny", "pat_str": r"\w+|\W+", "mergeable_ranks": ranks, "special_tokens": {"<end>": 260}}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A vocabulary of our own behind gpt-4o, an empty cache, and a network that ends the test."""

    def fetch(address: str) -> bytes:
        pytest.fail(f"{address} was fetched")

    monkeypatch.setattr(load_module, "read_file", fetch)
    monkeypatch.setattr(registry, "ENCODINGS", {})
    monkeypatch.setitem(vocabularies.ENCODING_CONSTRUCTORS, "o200k_base", tiny)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    tokenizer._loaded.cache_clear()


def keep(directory: Path, content: bytes = CONTENT) -> Path:
    path = directory / hashlib.sha1(ADDRESS.encode()).hexdigest()
    path.write_bytes(content)
    return path


def test_without_a_vocabulary_there_is_no_count_and_no_download() -> None:
    assert exact_counter("gpt-4o") is None


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o-2024-08-06", "ft:gpt-4o-mini-2024-07-18:org::id"])
def test_a_vocabulary_in_the_cache_counts_exactly(name: str, tmp_path: Path) -> None:
    keep(tmp_path)
    count = exact_counter(name)
    assert count is not None
    assert count("hello") == 1
    assert count("hello hello") == 3
    assert count("<end>") == len("<end>")


def test_a_vocabulary_that_comes_later_is_found_then(tmp_path: Path) -> None:
    assert exact_counter("gpt-4o") is None
    keep(tmp_path)
    assert exact_counter("gpt-4o") is not None


def test_the_older_variable_names_the_cache_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(tmp_path))
    keep(tmp_path)
    assert exact_counter("gpt-4o") is not None


def test_a_cache_that_is_switched_off_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert exact_counter("gpt-4o") is None


def test_a_damaged_vocabulary_is_neither_used_nor_removed(tmp_path: Path) -> None:
    path = keep(tmp_path, CONTENT + b"\n")
    assert exact_counter("gpt-4o") is None
    assert path.exists()


def test_a_vocabulary_that_the_app_has_loaded_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keep(tmp_path)
    loaded = tokenizer._loaded("o200k_base", str(tmp_path))
    monkeypatch.setitem(registry.ENCODINGS, "o200k_base", loaded)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    count = exact_counter("gpt-4o")
    assert count is not None
    assert count("hello") == 1


def test_loading_leaves_tiktokens_own_modules_as_they_were(tmp_path: Path) -> None:
    before = dict(vars(load_module)), dict(registry.ENCODINGS)
    keep(tmp_path)
    assert exact_counter("gpt-4o") is not None
    assert (dict(vars(load_module)), dict(registry.ENCODINGS)) == before


@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "our-deployment", ""])
def test_a_model_of_another_vocabulary_has_no_exact_count(name: str, tmp_path: Path) -> None:
    keep(tmp_path)
    assert exact_counter(name) is None


def test_without_tiktoken_there_is_no_exact_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tiktoken")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert exact_counter("gpt-4o") is None
