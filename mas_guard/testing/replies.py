"""What a scripted model says: `Reply`, and short ways to write the usual ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any


@dataclass(frozen=True)
class ToolCallReply:
    """One tool call that the scripted model asks for.

    Attributes:
        name: The tool's name; it need not be among the tools of the request.
        arguments: The arguments, sent as JSON. A string is sent as it stands, for broken JSON.
        id: The call's id. None lets the server number it by request and position.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True)
class Reply:
    """One scripted answer, the same for Chat Completions and Responses, plain and streamed.

    Attributes:
        text: The answer's text.
        tool_calls: The tool calls asked for, in order.
        refusal: The model's refusal, sent instead of text.
        chunks: The text as the pieces a stream sends; takes the place of `text`.
        chunk_count: Number of pieces `text` is cut into in a stream, at most one per character; default 4.
        input_tokens: Reported input; None estimates a quarter of the bytes of the request and of the history
            that the server holds for it.
        output_tokens: Reported output of one choice, reasoning included; None estimates a quarter of the
            characters, plus `reasoning_tokens`. Where the request's cap is lower, the answer is really cut
            and the cap is what is reported.
        cached_tokens: The part of the input reported as read from the cache.
        reasoning_tokens: The part of the output reported as reasoning.
        usage: False reports no usage at all.
        finish_reason: As Chat Completions names it; None means "tool_calls", "stop", or "length" if cut.
        status: HTTP status; anything but 200 sends an error instead of the answer.
        error_message, error_type, error_code: What that error says.
        headers: Further response headers.
        drop_connection: Close the connection instead of finishing the answer.
        drop_after_chunks: How many chunks a stream sends before it is dropped; a plain answer sends nothing.
        wait_for: Hold the answer until this event is set, at most the server's `wait_timeout`.
        hold_stream_after: With `wait_for`: let a stream begin, and hold it after this many chunks.
        delay_seconds: Wait this long before answering; meant for demonstrations, not for tests.

    Raises:
        ValueError: two fields contradict each other, or a figure is out of range.
    """

    text: str = ""
    tool_calls: tuple[ToolCallReply, ...] = ()
    refusal: str | None = None
    chunks: tuple[str, ...] | None = None
    chunk_count: int = 4
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    usage: bool = True
    finish_reason: str | None = None
    status: int = 200
    error_message: str = ""
    error_type: str | None = None
    error_code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop_connection: bool = False
    drop_after_chunks: int = 0
    wait_for: Event | None = None
    hold_stream_after: int | None = None
    delay_seconds: float = 0.0

    def __post_init__(self) -> None:
        # Lists are what people write; tuples are what a frozen value should hold.
        object.__setattr__(self, "tool_calls", tuple(self.tool_calls))
        if self.chunks is not None:
            object.__setattr__(self, "chunks", tuple(self.chunks))
            if self.text:
                raise ValueError("Reply has both text and chunks: chunks are the text, give one of them")
        if self.refusal is not None and (self.text or self.chunks):
            raise ValueError("Reply has both a refusal and text: a model sends one of them, give one of them")
        if self.hold_stream_after is not None and self.wait_for is None:
            raise ValueError("Reply.hold_stream_after needs an event: give wait_for=threading.Event() too")
        if self.drop_after_chunks and not self.drop_connection:
            raise ValueError("Reply.drop_after_chunks needs drop_connection=True")
        if self.chunk_count < 1:
            raise ValueError(f"Reply.chunk_count is {self.chunk_count}, give 1 or more")
        for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
                     "drop_after_chunks", "hold_stream_after", "delay_seconds"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"Reply.{name} is {value}, give 0 or more")
        if self.output_tokens is not None and self.output_tokens < self.reasoning_tokens:
            raise ValueError(
                f"Reply.output_tokens is {self.output_tokens} and includes reasoning_tokens, "
                f"which is {self.reasoning_tokens}: raise the first or lower the second"
            )


def text(content: str, **fields: Any) -> Reply:
    """A plain answer; `fields` are further fields of `Reply`."""
    return Reply(text=content, **fields)


def call(name: str, /, **arguments: Any) -> Reply:
    """A single tool call with these arguments. For several, or with other fields, write a `Reply`."""
    return Reply(tool_calls=(ToolCallReply(name, arguments),))


def fault(status: int, message: str, code: str | None = None, **fields: Any) -> Reply:
    """An error of the provider: 429, 500, 503 and so on; `fields` are further fields of `Reply`."""
    return Reply(status=status, error_message=message, error_code=code, **fields)
