"""Exact token counts with `tiktoken`, where it is installed and its vocabulary is already on this machine.

tiktoken fetches a vocabulary that it does not find. A guard must not start a download in the middle of somebody's
call, so the vocabulary is taken from where tiktoken keeps it, or not at all: its own constructor is run over a reader
that knows the cache and no network. tiktoken's own modules are not changed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

from mas_guard.prices.names import published_names, tuned_from

_VOCABULARIES = "tiktoken_ext.openai_public"


def exact_counter(model: str) -> Callable[[str], int] | None:
    """A function that counts the tokens of a text for *model*; `None` where that would need a download.

    It counts text alone: what a provider wraps around a message is not in it.
    """
    if "tiktoken" not in sys.modules and importlib.util.find_spec("tiktoken") is None:
        return None
    try:
        encoding = _encoding_of(model)
    except Exception:
        return None
    if encoding is None:
        return None

    def count(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    return count


def _encoding_of(model: str) -> Any:
    tiktoken = importlib.import_module("tiktoken")  # optional, and slow to import
    names = (tuned_from(model),) if tuned_from(model) else published_names(model)
    for name in names:
        try:
            vocabulary = tiktoken.encoding_name_for_model(name)
        except KeyError:
            continue
        return tiktoken.registry.ENCODINGS.get(vocabulary) or _from_cache(vocabulary, _cache_directory())
    return None


def _cache_directory() -> str:
    """Where tiktoken keeps vocabularies; empty where it is told to keep none."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return os.environ[variable]
    import tempfile  # with all that it brings not worth it at the start

    return str(Path(tempfile.gettempdir()) / "data-gym-cache")


@lru_cache(maxsize=8)
def _loaded(vocabulary: str, directory: str) -> Any:
    tiktoken = importlib.import_module("tiktoken")
    module = importlib.import_module(_VOCABULARIES)
    load = importlib.import_module("tiktoken.load")

    def cached(address: str, expected_hash: str | None = None) -> bytes:
        return _cached_file(address, expected_hash, directory)

    reader = _over(load.load_tiktoken_bpe, {"read_file_cached": cached})
    constructor = _over(module.ENCODING_CONSTRUCTORS[vocabulary], {"load_tiktoken_bpe": reader})
    return tiktoken.Encoding(**constructor())


def _from_cache(vocabulary: str, directory: str) -> Any:
    try:
        return _loaded(vocabulary, directory)
    except (LookupError, OSError):
        return None  # not here; it may be later, so that is not remembered


def _cached_file(address: str, expected_hash: str | None, directory: str) -> bytes:
    import hashlib  # as tempfile above

    # tiktoken names a cached file by the SHA-1 of its address.
    if not directory:
        raise LookupError("tiktoken keeps no vocabularies here")
    content = (Path(directory) / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()).read_bytes()
    if expected_hash is not None and hashlib.sha256(content).hexdigest() != expected_hash:
        raise LookupError(f"the cached vocabulary {address} is damaged")
    return content


def _over(function: Any, names: dict[str, Any]) -> Any:
    """*function* with some of the names it looks up replaced, in a copy that nobody else sees."""
    copy = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
