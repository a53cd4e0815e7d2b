"""The owner's concluding turn in a crew: in its own task where it gets control by itself, else one call of its model."""

from __future__ import annotations

from typing import Any

from mas_guard.adapter import GuardStopped, Run, StepScope, current_step
from mas_guard_crewai._frame import Activation, Frame, current_activation, current_frame
from mas_guard_crewai._structure import is_hierarchical, named, role_of


def take_control(run: Run, *, is_answer: bool) -> None:
    """The owner asks its model and the run was stopped: this call is its concluding turn."""
    stop, step = run.stop, current_step.get()
    if stop is not None and step is not None and may_take_control(run, is_answer=is_answer):
        if stop.begin_conclusion():
            step.concluding = True


def may_take_control(run: Run, *, is_answer: bool) -> bool:
    """True where the run was stopped and its owner is at work, in its own task and nobody else's."""
    stop, step, frame = run.stop, current_step.get(), current_frame.get()
    if stop is None or step is None or run.policy.mode != "enforce" or not is_answer:
        return False
    if step.agent != run.owner or step.outer is not None or (frame is not None and not frame.root):
        return False
    return stop.action == "owner" and stop.phase == "latched"


def conclude(frame: Frame) -> None:
    """Give control to the owner, whose task has not come: it answers with what there is, through its own model.

    Does nothing where it cannot be asked; the next action follows then.
    """
    run, crew = frame.run, frame.crew
    stop = run.stop
    assert stop is not None
    owner = named(crew, run.owner)
    if owner is None and is_hierarchical(crew):
        owner = crew.manager_agent
    if getattr(owner, "llm", None) is None or not stop.begin_conclusion():
        stop.next_action("its owner has no model in this crew")
        return
    scope = StepScope(run, role_of(owner))
    step = current_step.set(scope)
    activation = current_activation.set(Activation(owner, None))
    try:
        owner.llm.call(_messages(frame, owner), from_agent=owner)
    except GuardStopped:
        pass  # the stop knows what follows
    except Exception as error:
        if stop.phase != "latched":
            stop.next_action(f"the owner's concluding call failed with {type(error).__name__}")
    finally:
        current_activation.reset(activation)
        current_step.reset(step)


def concluded_output(frame: Frame) -> Any:
    """The crew's output with the owner's conclusion as its result."""
    from crewai.crews.crew_output import CrewOutput
    from crewai.tasks.task_output import TaskOutput

    stop, crew = frame.run.stop, frame.crew
    assert stop is not None
    last = crew.tasks[-1]
    told = TaskOutput(
        name=last.name or last.description,
        description=last.description,
        expected_output=last.expected_output,
        raw=stop.result,
        agent=frame.run.owner,
    )
    return CrewOutput(raw=stop.result, tasks_output=[*frame.state(), told], token_usage=crew.calculate_usage_metrics())


def partial_output(frame: Frame) -> Any:
    """The crew's output from the tasks that are done."""
    from crewai.crews.crew_output import CrewOutput

    done = frame.state()
    last = done[-1] if done else None
    return CrewOutput(
        raw=last.raw if last is not None else "",
        pydantic=last.pydantic if last is not None else None,
        json_dict=last.json_dict if last is not None else None,
        tasks_output=done,
        token_usage=frame.crew.calculate_usage_metrics(),
    )


def _messages(frame: Frame, owner: Any) -> list[dict[str, str]]:
    tasks = "\n".join(f"- {task.description}" for task in frame.crew.tasks)
    known = "\n\n".join(f"{output.agent}:\n{output.raw}" for output in frame.state() if output.raw)
    return [
        {
            "role": "system",
            "content": f"You are {role_of(owner)}. {owner.backstory}\nYour personal goal is: {owner.goal}",
        },
        {
            "role": "user",
            "content": f"These are the tasks of your crew:\n{tasks}\n\nThis is what is done so far:\n{known or 'nothing'}",
        },
    ]
