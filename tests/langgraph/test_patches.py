"""What is put in shows the original's face, and is taken back as far as it is still ours."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langgraph.pregel import Pregel

import mas_guard
from mas_guard.patching import Patch, PatchSet
from tests.langgraph.apps import swarm

SEAMS = [(Pregel, name) for name in ("stream", "astream", "invoke", "ainvoke", "copy")] + [
    (BaseChatModel, name) for name in ("stream", "astream", "generate", "agenerate")
]


@pytest.mark.parametrize(("owner", "name"), SEAMS, ids=lambda value: getattr(value, "__name__", value))
def test_a_patched_method_shows_the_originals_signature_and_kind(owner: Any, name: str) -> None:
    bare = vars(owner)[name]
    face = (inspect.signature(bare), inspect.isasyncgenfunction(bare), inspect.iscoroutinefunction(bare), bare.__doc__)
    mas_guard.instrument()
    patched = vars(owner)[name]
    assert patched is not bare
    shown = (
        inspect.signature(patched),
        inspect.isasyncgenfunction(patched),
        inspect.iscoroutinefunction(patched),
        patched.__doc__,
    )
    assert shown == face
    mas_guard.uninstrument()
    assert vars(owner)[name] is bare


def test_a_foreign_wrapper_on_top_is_left_alone_and_named() -> None:
    bare = Pregel.copy
    mas_guard.instrument()
    ours = Pregel.copy

    def theirs(self: Any, update: Any = None) -> Any:
        return ours(self, update)

    Pregel.copy = theirs  # type: ignore[method-assign]
    try:
        assert mas_guard.uninstrument() == ["langgraph.pregel.main:Pregel.copy"]
        assert Pregel.copy is theirs
    finally:
        Pregel.copy = bare  # type: ignore[method-assign]


def test_a_missing_seam_is_named_with_what_to_do_and_nothing_is_left_in() -> None:
    before = vars(Pregel)["copy"]
    patches = PatchSet(
        "langgraph",
        [
            Patch("langgraph.pregel.main", "Pregel.copy", lambda original: lambda *arguments: original(*arguments)),
            Patch("langgraph.pregel.main", "Pregel.does_not_exist", lambda original: original),
        ],
    )
    with pytest.raises(mas_guard.SeamMissing, match="MAS_GUARD_DISABLE"):
        patches.apply()
    assert vars(Pregel)["copy"] is before


def test_wrap_keeps_the_type_and_leaves_the_original_untouched() -> None:
    app = swarm("http://127.0.0.1:1/v1")
    before = dict(vars(app))
    wrapped = mas_guard.wrap(app)
    assert type(wrapped) is type(app) and wrapped is not app
    assert vars(app) == before and set(vars(wrapped)) == set(vars(app))
    assert wrapped.with_config({"tags": ["x"]}) is not wrapped


def test_an_unsupported_version_is_refused_with_the_command_that_fixes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from mas_guard_langgraph._adapter import LangGraphAdapter

    monkeypatch.setattr(LangGraphAdapter, "found_version", lambda self: "0.2.76")
    with pytest.raises(mas_guard.UnsupportedVersion, match="pip install") as caught:
        mas_guard.wrap(swarm("http://127.0.0.1:1/v1"))
    assert (caught.value.found, caught.value.target) == ("0.2.76", "langgraph")


def test_an_app_that_no_adapter_knows_is_refused_with_another_way() -> None:
    with pytest.raises(mas_guard.AdapterNotFound, match=r"mas_guard\.run"):
        mas_guard.wrap(object())
