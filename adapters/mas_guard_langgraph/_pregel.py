"""The run's boundary: every way of running a graph passes `Pregel.stream` or `Pregel.astream`.

`invoke`, `batch`, events (v2 and v3) and their asynchronous twins are built on these two. `invoke` and `ainvoke` are
wrapped only to remember which result belongs to which outcome.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mas_guard.adapter import (
    Flow,
    GuardStopped,
    Run,
    Scope,
    StepScope,
    current_run,
    current_step,
    drive_stream,
    drive_stream_async,
    ended_within,
    inner_app_scope,
    last_outcome,
    results,
    run_flow,
)
from mas_guard_langgraph._frame import Frame, current_frame, current_task
from mas_guard_langgraph._translate import text_of

if TYPE_CHECKING:
    from mas_guard_langgraph._adapter import LangGraphAdapter, Mark

Make = Callable[..., Any]


class _Opened:
    """A run and the graph that it was opened for. Once `invoke` has entered it, its one stream needs no context of its
    own around each chunk."""

    __slots__ = ("entered", "frame", "mark", "pregel", "run")

    def __init__(self, pregel: Any, run: Run, frame: Frame, mark: Mark) -> None:
        self.pregel = pregel
        self.run = run
        self.frame = frame
        self.mark = mark
        self.entered = False


_entered: ContextVar[_Opened | None] = ContextVar("mas_guard_langgraph_entered", default=None)


def make_stream(adapter: LangGraphAdapter, original: Make) -> Make:
    """Open or join the run around `Pregel.stream`."""

    @functools.wraps(original)
    def stream(self: Any, input: Any, config: Any = None, **keywords: Any) -> Iterator[Any]:
        def start() -> Iterator[Any]:
            return original(self, input, config, **keywords)  # type: ignore[no-any-return]

        joined = _to_join(self)
        if joined is not None:
            return _joined(adapter, joined, self, start)
        opened, flow = _to_drive(adapter, self, input, config)
        if opened is None or flow is None:
            return start()
        driven = drive_stream(flow, start, None, opened.run.engine.plugins.errors)
        return driven if opened.entered else _released(opened.frame, driven)

    return stream


def make_astream(adapter: LangGraphAdapter, original: Make) -> Make:
    """Open or join the run around `Pregel.astream`."""

    @functools.wraps(original)
    def astream(self: Any, input: Any, config: Any = None, **keywords: Any) -> AsyncIterator[Any]:
        def start() -> AsyncIterator[Any]:
            return original(self, input, config, **keywords)  # type: ignore[no-any-return]

        joined = _to_join(self)
        if joined is not None:
            return _joined_async(adapter, joined, self, start)
        opened, flow = _to_drive(adapter, self, input, config)
        if opened is None or flow is None:
            return start()
        driven = drive_stream_async(flow, start, None, opened.run.engine.plugins.errors)
        return driven if opened.entered else _released_async(opened.frame, driven)

    return astream


def _to_join(pregel: Any) -> Run | None:
    """The run that a graph called here joins; none where `invoke` has just entered one for this very graph."""
    entered = _entered.get()
    return None if entered is not None and entered.pregel is pregel else current_run.get()


def _to_drive(adapter: LangGraphAdapter, pregel: Any, input: Any, config: Any) -> tuple[_Opened | None, Flow | None]:
    """The run that is driven around this stream, and its flow; nothing for an unguarded graph."""
    entered = _entered.get()
    if entered is not None and entered.pregel is pregel:
        _entered.set(None)
        entered.entered = True
        return entered, _flow(adapter, entered, None)
    opened = _opened(adapter, pregel, input, config)
    return opened, None if opened is None else _flow(adapter, opened, ((current_frame, opened.frame),))


def make_invoke(adapter: LangGraphAdapter, original: Make) -> Make:
    """Enter the run once for the whole of `invoke`, and remember the outcome of its result."""

    @functools.wraps(original)
    def invoke(self: Any, input: Any, config: Any = None, **keywords: Any) -> Any:
        opened = None if current_run.get() is not None else _opened(adapter, self, input, config)
        if opened is None:
            return original(self, input, config, **keywords)
        with _inside(opened):
            result = original(self, input, config, **keywords)
        _remember(result)
        return result

    return invoke


def make_ainvoke(adapter: LangGraphAdapter, original: Make) -> Make:
    """Enter the run once for the whole of `ainvoke`, and remember the outcome of its result."""

    @functools.wraps(original)
    async def ainvoke(self: Any, input: Any, config: Any = None, **keywords: Any) -> Any:
        opened = None if current_run.get() is not None else _opened(adapter, self, input, config)
        if opened is None:
            return await original(self, input, config, **keywords)
        with _inside(opened):
            result = await original(self, input, config, **keywords)
        _remember(result)
        return result

    return ainvoke


@contextmanager
def _inside(opened: _Opened) -> Iterator[None]:
    entering: Scope = (
        (current_run, opened.run),
        (current_step, None),
        (current_frame, opened.frame),
        (_entered, opened),
    )
    tokens = [(variable, variable.set(value)) for variable, value in entering]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)
        opened.frame.loop = None


def _opened(adapter: LangGraphAdapter, pregel: Any, input: Any, config: Any) -> _Opened | None:
    mark = adapter.mark_of(pregel)
    if mark is None:
        if adapter.marks:
            adapter.guard.unwrapped_app(f"LangGraph app {pregel.get_name()!r}")
        return None
    run, frame = _open(adapter, mark, pregel, input, config)
    return _Opened(pregel, run, frame, mark)


def _flow(adapter: LangGraphAdapter, opened: _Opened, scope: Scope | None) -> Flow:
    frame, mark = opened.frame, opened.mark
    return run_flow(
        opened.run,
        state=lambda: _state(frame),
        on_outcome=adapter.guard.on_outcome(mark.policy, mark.options),
        scope=scope,
        answer=lambda: _answer(frame),
    )


def make_copy(adapter: LangGraphAdapter, original: Make) -> Make:
    """A copy of a wrapped graph is wrapped: `with_config` and the LangGraph server copy per request."""

    @functools.wraps(original)
    def copy(self: Any, update: Any = None) -> Any:
        copied = original(self, update)
        mark = adapter.marks.get(self)
        if mark is not None:
            adapter.marks[copied] = mark
        return copied

    return copy


def make_compile(adapter: LangGraphAdapter, original: Make) -> Make:
    """What a wrapped `StateGraph` compiles to is wrapped."""

    @functools.wraps(original)
    def compile(self: Any, *arguments: Any, **keywords: Any) -> Any:
        compiled = original(self, *arguments, **keywords)
        mark = adapter.marks.get(self)
        if mark is not None:
            adapter.marks[compiled] = mark
        return compiled

    return compile


def _released(frame: Frame, stream: Iterator[Any]) -> Iterator[Any]:
    # A remembered run must not keep the graph's loop, and with it the whole state, alive.
    try:
        yield from stream
    finally:
        frame.loop = None


async def _released_async(frame: Frame, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        async for chunk in stream:
            yield chunk
    finally:
        await stream.aclose()  # type: ignore[attr-defined]
        frame.loop = None


def _open(adapter: LangGraphAdapter, mark: Mark, pregel: Any, input: Any, config: Any) -> tuple[Run, Frame]:
    from langgraph.errors import GraphBubbleUp

    configurable = (config or {}).get("configurable") or {}
    run = adapter.guard.open_run(
        mark.policy,
        name=pregel.get_name(),
        thread=str(configurable.get("thread_id") or ""),
        tenant=mark.options.get("tenant"),
    )
    run.signals.add(GraphBubbleUp)
    frame = Frame(run, pregel, root=True)
    frame.resume_input = input
    return run, frame


def _join(adapter: LangGraphAdapter, run: Run, pregel: Any) -> tuple[Frame, StepScope | None]:
    from langgraph.errors import GraphBubbleUp

    run.signals.add(GraphBubbleUp)
    frame = Frame(run, pregel, root=False)
    outer = current_task.get()
    step = current_step.get()
    mark = adapter.marks.get(pregel)
    if frame.in_place:
        return frame, _narrowed(run, step, pregel, mark)
    if outer is None or outer[0].run is not run:
        # The first graph of a run that another boundary opened counts as a root for hops. It ends in place only where
        # the owner may be in it: else the stop has to reach whoever called it.
        frame.root = run.adapter_state.setdefault("langgraph", frame) is frame
        frame.in_place = frame.root and (not run.owner or run.owner in frame.graph.nodes)
    name = pregel.get_name()
    if name != "LangGraph" and (step is None or step.agent != name):
        step = StepScope(run, name, outer=step)
    return frame, _narrowed(run, step, pregel, mark)


def _narrowed(run: Run, step: StepScope | None, pregel: Any, mark: Mark | None) -> StepScope | None:
    return step if mark is None else inner_app_scope(run, step, pregel.get_name(), mark.policy)


def _joined(adapter: LangGraphAdapter, run: Run, pregel: Any, start: Callable[[], Any]) -> Iterator[Any]:
    frame, step = _join(adapter, run, pregel)
    around = current_step.get()
    child = step.as_child() if step is not None and step is not around else nullcontext()
    child.__enter__()
    stream: Any = None
    try:
        while True:
            in_frame, in_step = current_frame.set(frame), current_step.set(step)
            try:
                if stream is None:
                    stream = start()
                chunk = next(stream)
            except StopIteration:
                return
            except Exception as error:
                _tell_ended(error)
                raise
            finally:
                current_step.reset(in_step)
                current_frame.reset(in_frame)
            yield chunk
    finally:
        if stream is not None:
            stream.close()
        child.__exit__(None, None, None)
        frame.loop = None


async def _joined_async(
    adapter: LangGraphAdapter, run: Run, pregel: Any, start: Callable[[], Any]
) -> AsyncIterator[Any]:
    frame, step = _join(adapter, run, pregel)
    around = current_step.get()
    child = step.as_child() if step is not None and step is not around else nullcontext()
    child.__enter__()
    stream: Any = None
    try:
        while True:
            in_frame, in_step = current_frame.set(frame), current_step.set(step)
            try:
                if stream is None:
                    stream = start()
                chunk = await anext(stream)
            except StopAsyncIteration:
                return
            except Exception as error:
                _tell_ended(error)
                raise
            finally:
                current_step.reset(in_step)
                current_frame.reset(in_frame)
            yield chunk
    finally:
        if stream is not None:
            await stream.aclose()
        child.__exit__(None, None, None)
        frame.loop = None


def _tell_ended(error: Exception) -> None:
    from langgraph.errors import GraphBubbleUp

    if isinstance(error, GuardStopped) or not isinstance(error, GraphBubbleUp):  # an interrupt is no error
        ended_within(error)


def _remember(result: Any) -> None:
    outcome = last_outcome.get()
    if outcome is not None:
        results.remember(result, outcome)


def _answer(frame: Frame) -> str:
    """The text of the last message of the state that the graph gives; empty where it holds none."""
    state = _state(frame)
    messages = state.get("messages") if isinstance(state, dict) else None
    return text_of(getattr(messages[-1], "content", "")) if isinstance(messages, list) and messages else ""


def _state(frame: Frame) -> Any:
    """The committed state so far, as the graph would return it."""
    from langgraph.pregel._io import read_channels

    loop = frame.loop
    if loop is None or not hasattr(loop, "channels"):
        return None
    try:
        return read_channels(loop.channels, loop.output_keys)
    except Exception:  # a state that cannot be read is said as none
        return None
