"""Handoffs, where the run loop carries them out: declared, enabled, with the input they take, and counted.

The SDK ends a run in which the model calls a handoff that it cannot see. Here such a call is refused with a reason, as a
tool's output, and the agent goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from agents.agent import Agent
from agents.handoffs import Handoff
from agents.items import ItemHelpers, ToolCallOutputItem
from agents.run_internal.run_steps import NextStepRunAgain, SingleStepResult
from pydantic import TypeAdapter, ValidationError

from mas_guard import GuardError
from mas_guard.adapter import Answer, guard_handoff
from mas_guard.adapter import Handoff as Crossing
from mas_guard_openai_agents._agents import reachable
from mas_guard_openai_agents._frame import Frame, active_frame
from mas_guard_openai_agents._text import field, text_of

Make = Callable[..., Any]

PREFIX = "transfer_to_"
IGNORED = "not executed: one handoff at a time, and another one was asked for first"
SHOWN_PROBLEMS = 5


class RefusedHandoff(Handoff[Any, Any]):
    """Stands for a handoff that the model called and that its agent does not have now."""

    problem = ""


def make_process_response(original: Make) -> Make:
    """Wrap `process_model_response`: give a handoff that is not there a stand-in that will be refused."""

    @functools.wraps(original)
    def process_model_response(**keywords: Any) -> Any:
        frame = active_frame()
        if frame is not None:
            try:
                keywords["handoffs"] = _with_refused(frame, keywords)
            except Exception as error:
                frame.run.engine.plugins.errors.report("Reading a reply's handoffs", error)
        return original(**keywords)

    return process_model_response


def make_execute(original: Make) -> Make:
    """Wrap `execute_handoffs`: put the handoff to the guard before anything of it happens."""

    @functools.wraps(original)
    async def execute_handoffs(**keywords: Any) -> Any:
        frame = active_frame()
        if frame is None:
            return await original(**keywords)
        source, asked = keywords["public_agent"], keywords["run_handoffs"][0]
        try:
            answer = _ask(frame, source, asked, keywords["new_response"])
        except GuardError:
            raise
        except Exception as error:  # the guard's own bug never breaks the app
            frame.run.engine.plugins.errors.report("Judging a handoff of the Agents SDK", error)
            answer = None
        if answer is not None:
            return _refused(answer, keywords)
        result = await original(**keywords)
        new_agent = getattr(result.next_step, "new_agent", None)
        if new_agent is not None and new_agent is not source:
            frame.handed_by[new_agent.name] = source
            frame.run.visit(new_agent.name)  # a handoff of the app's own may choose another agent than it names
        return result

    return execute_handoffs


def _with_refused(frame: Frame, keywords: dict[str, Any]) -> list[Any]:
    handoffs, agent = keywords["handoffs"], keywords["agent"]
    frame.enabled[agent.name] = frozenset(handoff.agent_name for handoff in handoffs)
    if frame.run.policy.rule_mode("handoff") != "enforce" or frame.answers_unknown_tools:
        return handoffs  # type: ignore[no-any-return]
    asked = [field(item, "name") for item in keywords["response"].output if field(item, "type") == "function_call"]
    if not asked:
        return handoffs  # type: ignore[no-any-return]
    known = {handoff.tool_name for handoff in handoffs}
    known.update(getattr(tool, "name", "") for tool in keywords["all_tools"])
    refused: list[Any] = []
    for name in asked:
        if name in known:
            continue
        disabled = _target_of(agent, name)
        others = (
            None if disabled else next(filter(None, (_target_of(one, name) for one in reachable(frame.entry))), None)
        )
        if disabled:
            refused.append(_stand_in(name, disabled, "is disabled at the moment"))
        elif others:
            refused.append(_stand_in(name, others, "cannot be reached from here"))
        elif str(name).startswith(PREFIX):
            refused.append(_stand_in(name, str(name)[len(PREFIX) :], "does not exist, or cannot be reached from here"))
        else:
            continue
        known.add(name)
    return [*handoffs, *refused] if refused else handoffs


def _target_of(agent: Any, tool_name: str) -> str:
    """The name of the agent that *agent*'s handoff called *tool_name* leads to; empty where it has none."""
    for entry in agent.handoffs:
        if isinstance(entry, Handoff):
            if entry.tool_name == tool_name:
                return entry.agent_name
        elif Handoff.default_tool_name(entry) == tool_name:
            return str(entry.name)
    return ""


def _stand_in(tool_name: str, target: str, problem: str) -> RefusedHandoff:
    async def never(context: Any, arguments: str) -> Any:
        raise AssertionError("a refused handoff is never carried out")

    stand_in = RefusedHandoff(
        tool_name=tool_name,
        tool_description="",
        input_json_schema={},
        on_invoke_handoff=never,
        agent_name=target,
    )
    stand_in.problem = problem
    return stand_in


def _ask(frame: Frame, source: Agent[Any], asked: Any, reply: Any) -> Answer | None:
    handoff, arguments = asked.handoff, asked.tool_call.arguments
    target = handoff.agent_name
    if isinstance(handoff, RefusedHandoff):
        problem, details = handoff.problem, ""
    else:
        problem, details = _problem(handoff, arguments)
    known = frame.enabled.get(source.name)
    return guard_handoff(
        frame.run,
        Crossing(
            source.name,
            (target,),
            "transfer" if target != source.name else "return",
            known_targets=known,
            content=_content(arguments, reply),
            problems=(problem,) if problem else (),
            details=details,
            history_trimmed=getattr(handoff, "input_filter", None) is not None,
        ),
    )


def _content(arguments: str, reply: Any) -> str:
    """What is handed on beside control: the handoff's input, and what was said with it."""
    said = [text_of(field(item, "content")) for item in reply.output if field(item, "type") == "message"]
    given = arguments.strip() if arguments else ""
    return "\n".join(part for part in (*said, "" if given in ("{}", "null") else given) if part)


def _problem(handoff: Any, arguments: str) -> tuple[str, str]:
    """Why *arguments* are not what the handoff takes, and the details; nothing where it does not say what it takes."""
    adapter = _input_type(handoff)
    if adapter is None:
        return "", ""
    try:
        adapter.validate_json(arguments or "", strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:SHOWN_PROBLEMS]
        told = [f"{'.'.join(map(str, problem['loc'])) or 'the input'}: {problem['msg']}" for problem in found]
        return "takes other input", "; ".join(told)
    except Exception:  # a validator of the app's own that fails otherwise: the SDK will say so
        return "", ""
    return "", ""


def _input_type(handoff: Any) -> TypeAdapter[Any] | None:
    """The type that `handoff(..., input_type=...)` was given: it stands in the closure of what the SDK invokes."""
    invoke = handoff.on_invoke_handoff
    functions = [invoke, *getattr(invoke, "args", ())]
    for function in functions:
        code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
        if code is None or "type_adapter" not in code.co_freevars:
            continue
        found = cells[code.co_freevars.index("type_adapter")].cell_contents
        return found if isinstance(found, TypeAdapter) else None
    return None


def _refused(answer: Answer, keywords: dict[str, Any]) -> Any:
    """A turn in which the handoffs were answered and control stays where it is."""
    source, new_items = keywords["public_agent"], keywords["new_step_items"]
    for position, asked in enumerate(keywords["run_handoffs"]):
        text = answer.text if position == 0 else IGNORED
        new_items.append(
            ToolCallOutputItem(
                output=text, raw_item=ItemHelpers.tool_call_output_item(asked.tool_call, text), agent=source
            )
        )
    return SingleStepResult(
        original_input=keywords["original_input"],
        model_response=keywords["new_response"],
        pre_step_items=keywords["pre_step_items"],
        new_step_items=new_items,
        next_step=NextStepRunAgain(),
        tool_input_guardrail_results=list(keywords.get("tool_input_guardrail_results") or ()),
        tool_output_guardrail_results=list(keywords.get("tool_output_guardrail_results") or ()),
    )
