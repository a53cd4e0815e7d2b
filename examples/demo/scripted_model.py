"""What the model says in the demo, and the books on it: one scripted model for all apps.

It speaks for whoever the system prompt names. It hands every case on, as agents do that each see only their own part;
and where it is told that the run was stopped, it answers with what is known.
"""

from __future__ import annotations

import re
import threading

from mas_guard.testing import Reply, Request, ToolCallReply

STOPPED = "[mas-guard]"  # how the message begins that an owner gets at a limit
CHECK_SECONDS = 0.2  # a checker thinks, so that all that were sent are in flight together

HANDS_ON = {
    "billing": ("disputes", "Whether this charge stands is for disputes to decide."),
    "disputes": ("accounts", "Before I decide I need to know from accounts what was paid."),
    "accounts": ("billing", "Which of the two charges the payment belongs to is for billing to say."),
}
READS = {
    "support": ("read_order", "warehouse"),
    "warehouse": ("read_shipment", "carrier"),
    "carrier": ("read_scans", "support"),
}
CONCLUSION = (
    "We could not settle this yet. What we know: invoice 4711 charges the March licence twice, 240 EUR each, and you "
    "paid one of them. What is open: whether the second charge was a mistake. Please do not pay it until you hear "
    "from us."
)
PARCEL_CONCLUSION = (
    "You paid 59 EUR for the lamp. Parcel 88 left us on 3 March and was last seen a day later, in the depot of Lyon. "
    "What is open: whether it is lost. Nobody here could say that yet."
)


class ScriptedModel:
    """Answers requests, and remembers who asked.

    Attributes:
        question: What the user asked.
        callers: The agent of each call, in the order in which the calls arrived.
        input_tokens: Input of all calls, at a quarter of their bytes.
        output_tokens: Output of all calls, at a quarter of their characters.
    """

    def __init__(self) -> None:
        self.question = ""
        self.callers: list[str] = []
        self.input_tokens = 0
        self.output_tokens = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        """Answer *request*, whichever agent it comes from."""
        named = re.match(r"You are (\w+)\.", request.system)
        caller = named[1] if named else "?"
        content, asked = self._say(caller, request)
        tool = asked if asked in request.tool_names else f"transfer_to_{asked}"
        calls = (ToolCallReply(tool),) if asked else ()
        sent, said = len(request.raw) // 4, max(1, len(content + asked) // 4)
        with self._lock:
            self.question = self.question or next(m["content"] for m in request.messages if m["role"] == "user")
            self.callers.append(caller)
            self.input_tokens += sent
            self.output_tokens += said
        return Reply(
            text=content,
            tool_calls=calls,
            input_tokens=sent,
            output_tokens=said,
            delay_seconds=CHECK_SECONDS if caller == "checker" else 0.0,
        )

    def _say(self, caller: str, request: Request) -> tuple[str, str]:
        """The words, and the tool that is called or the agent that control is handed to."""
        stopped = STOPPED in request.last_text
        if caller in READS:
            tool, next_agent = READS[caller]
            called = [call["name"] for message in request.messages for call in message.get("tool_calls", ())]
            return (PARCEL_CONCLUSION, "") if stopped else ("", next_agent if tool in called else tool)
        if caller in HANDS_ON:
            return (CONCLUSION, "") if stopped else (HANDS_ON[caller][1], HANDS_ON[caller][0])
        if caller == "checker":
            number = int(re.findall(r"\d+", request.last_text)[-1])
            return f"{number}: {'justified' if number % 3 == 0 else 'not justified'}", ""
        found = sorted(re.findall(r"(\d+): (not )?justified", "\n".join(_texts(request))))
        if not found:
            return "I will have every dispute checked.", ""
        good = [number for number, without in found if not without]
        answer = f"{len(found)} of 50 disputes checked. Justified: {_short(good)}."
        if stopped:
            answer += f" Not checked, because the budget of this run is used up: the other {50 - len(found)}."
        return answer, ""


def _texts(request: Request) -> list[str]:
    return [str(message["content"]) for message in request.messages]


def _short(numbers: list[str]) -> str:
    return ", ".join(numbers) if len(numbers) <= 4 else f"{', '.join(numbers[:3])} and {len(numbers) - 3} more"
