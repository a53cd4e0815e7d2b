"""The settings of how agents work together: what a handoff carries, when a plan is given up, and when a loop ends."""

from __future__ import annotations

from mas_guard.config.setting import Setting

COORDINATION_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "HANDOFF_ON_FAILURE",
        "text",
        "say so with the reason, and do not invent a result",
        "What the receiver of a handoff is told to do where it cannot do its task, under `HANDOFFS=complete`.",
        "hand the task back to triage with what is missing",
    ),
    Setting(
        "REPLAN_MAX",
        "integer",
        "5",
        "How often in a row a worker that keeps failing may be asked anew with another request, before whoever asks it is "
        "told to do without it.",
        "3",
        unit="re-plans",
        optional=True,
        limit=True,
        least=1,
        narrowing="smaller",
    ),
    Setting(
        "RETRIES__PER_CALL",
        "integer",
        "2",
        "How often one model call of a CrewAI agent may be sent again after it failed on the way (429, 5xx, cut lines) or came "
        "back empty. One layer retries. Each counts as a model call.",
        "0",
        unit="retries",
        optional=True,
        least=0,
        narrowing="smaller",
    ),
    Setting(
        "RETRIES__PER_TASK",
        "integer",
        "0",
        "How often a CrewAI task may be run again as a whole because a model call of it has failed or came back empty. Its "
        "tools run again as well.",
        "1",
        unit="retries",
        optional=True,
        least=0,
        narrowing="smaller",
    ),
    Setting(
        "REQUIRE_TERMINATION",
        "boolean",
        "false",
        "Refuse to start where an agent is declared a loop (`[agents.NAME] loop = true`) and nothing says when it ends.",
        "true",
    ),
)

LOOP_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "AGENTS__*__LOOP",
        "boolean",
        "false",
        "Whether this agent plans or manages in rounds, so that its rounds are watched for progress.",
        '{"manager": {"loop": true, "patience": 4}}',
        optional=True,
    ),
    Setting(
        "AGENTS__*__MAX_ROUNDS",
        "integer",
        "none",
        "The most rounds of this agent's loop; then its owner concludes. A round is asking and getting something back.",
        '{"manager": {"loop": true, "max_rounds": 8}}',
        unit="rounds",
        optional=True,
        limit=True,
        least=1,
        narrowing="smaller",
    ),
    Setting(
        "AGENTS__*__PATIENCE",
        "integer",
        "none",
        "How many rounds in a row of this agent's loop may bring nothing new before its owner concludes. Changed numbers "
        "and new facts are progress, other words for the same are none.",
        '{"manager": {"loop": true, "patience": 4}}',
        unit="rounds",
        optional=True,
        limit=True,
        least=1,
        narrowing="smaller",
    ),
    Setting(
        "AGENTS__*__DONE_WHEN",
        "text",
        "none",
        "What says that this agent's loop is done: the name of a field that is true in what comes back to it, or a "
        "function `module:name` that is given the text and returns whether it is.",
        '{"manager": {"loop": true, "done_when": "approved"}}',
        optional=True,
    ),
)
