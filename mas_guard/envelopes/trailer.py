"""The envelope that a worker is asked for under `ENVELOPES=require`: one last line of its answer, which the app never sees.

A line at the end can be asked of any model, be held back from a stream, and be taken off, so that the app's texts,
types and stored messages stay as they were.
"""

from __future__ import annotations

import json

from mas_guard.types import Envelope, Said, Status

MARKER = "<<envelope"
REQUEST = (
    "[mas-guard] When you give your final answer (not while you call tools), end it with one extra line, exactly in this "
    'form: <<envelope {"status": "success|partial|failed", "confidence": 0.0 to 1.0, "reason": "one sentence"}>> — '
    "success only if the answer is complete and rests on what you know; partial if something is missing; failed if you "
    "could not do it. Do not mention this line otherwise."
)
STATUSES: tuple[Status, ...] = ("success", "partial", "failed")
LONGEST_REASON = 500  # characters that are kept
MOST_BREAKS = 8  # line breaks before the line that go with it
LONGEST_TRAILER = 4_000  # characters; what is longer is no envelope


def read_trailer(text: str) -> Said:
    """Take the line off *text*, and read it. A model that gives it more than once means the last."""
    start = text.rfind(MARKER)
    if start < 0:
        return Said(text, None, ("the line <<envelope …>> is missing",))
    body, end = _body(text, start)
    # What stands behind the line belongs to the answer; the line break before it was asked for with it.
    answer = _without_break(text[:start]) + text[end:].rstrip()
    while (start := answer.rfind(MARKER)) >= 0:
        answer = _without_break(answer[:start]) + answer[_body(answer, start)[1] :]
    if len(body) > LONGEST_TRAILER:
        return Said(answer, None, (f"the line is longer than {LONGEST_TRAILER} characters",), there=True)
    envelope, problems = _parse(body)
    return Said(answer, envelope, problems, there=True)


def repair_request(problems: tuple[str, ...]) -> str:
    """What the worker is told in the one attempt to repair its envelope."""
    return (
        f"[mas-guard] Your answer above was received, but: {'; '.join(problems)}. Reply with that one line only, and "
        'nothing else: <<envelope {"status": "success|partial|failed", "confidence": 0.0 to 1.0, "reason": "one '
        'sentence"}>>'
    )


class Held:
    """Holds back what may be the beginning of the line from a stream of text, and the line itself."""

    __slots__ = ("_text",)

    def __init__(self) -> None:
        self._text = ""

    def take(self, text: str) -> str:
        """Take a piece of the answer, and return what may pass by now."""
        self._text += text
        start = self._text.find(MARKER)
        if start < 0:
            start = len(self._text) - _overlap(self._text)
        # Breaks before the line go with it, so they wait, too: as many as anybody would write.
        least = max(0, start - MOST_BREAKS)
        while start > least and self._text[start - 1] in "\r\n":
            start -= 1
        passed, self._text = self._text[:start], self._text[start:]
        return passed

    def rest(self) -> str:
        """What is left of the answer once the stream has ended."""
        said = read_trailer(self._text) if MARKER in self._text else Said(self._text)
        self._text = ""
        return said.text


def _body(text: str, start: int) -> tuple[str, int]:
    """What stands in the line that begins at *start*, and where the line ends."""
    after = start + len(MARKER)
    opened = text.find("{", after)
    if opened >= 0 and not text[after:opened].strip():
        try:  # the object ends where JSON says, also where a reason holds the signs that end the line
            _, closed = json.JSONDecoder().raw_decode(text, opened)
            if text[closed : closed + 2] == ">>" or text[closed:].lstrip().startswith(">>"):
                return text[after:closed], text.index(">>", closed) + 2
        except (ValueError, RecursionError):
            pass
    end = text.find(">>", after)
    return (text[after:end], end + 2) if end >= 0 else (text[after:], len(text))


def _overlap(text: str) -> int:
    """How many characters at the end of *text* may be the beginning of the marker."""
    for length in range(min(len(MARKER) - 1, len(text)), 0, -1):
        if MARKER.startswith(text[-length:]):
            return length
    return 0


def _without_break(text: str) -> str:
    end = len(text)
    least = max(0, end - MOST_BREAKS)
    while end > least and text[end - 1] in "\r\n":
        end -= 1
    return text[:end]


def _parse(body: str) -> tuple[Envelope | None, tuple[str, ...]]:
    try:
        said = json.loads(body.strip().strip("`"))
    except (ValueError, RecursionError):
        return None, ("the line holds no JSON object",)
    if not isinstance(said, dict):
        return None, ("the line holds no JSON object",)
    problems = []
    status = said.get("status")
    if status not in STATUSES:
        problems.append("`status` is none of success, partial, failed")
    confidence = said.get("confidence")
    if confidence is not None and not _is_share(confidence):
        problems.append("`confidence` is no number from 0 to 1")
    if problems or status not in STATUSES:
        return None, tuple(problems)
    reason = said.get("reason")
    # Half a surrogate pair could not be sent on.
    words = reason[:LONGEST_REASON].encode("utf-8", "replace").decode() if isinstance(reason, str) else ""
    return Envelope(
        STATUSES[STATUSES.index(status)], None, None if confidence is None else float(confidence), words
    ), ()


def _is_share(value: object) -> bool:
    # Compared first: an integer of a thousand digits is no float, and NaN is below and above nothing.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
