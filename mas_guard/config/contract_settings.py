"""What an agent's output must have, and what it gives where it fails."""

from __future__ import annotations

from mas_guard.config.setting import Setting

CONTRACT_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "AGENTS__*__CONTRACT",
        "contract",
        "the framework's own type",
        "The contract of this agent's output: a pydantic model, dataclass or TypedDict as `module:Name`, the path of a JSON "
        "schema (`.json`), or a JSON schema as a table.",
        '{"extractor": {"contract": "outputs:Invoice"}}',
    ),
    Setting(
        "AGENTS__*__FAILURE_OUTPUT",
        "value",
        "not declared",
        "What this agent gives where it fails, as part of its contract.",
        '{"extractor": {"failure_output": {"status": "failed"}}}',
    ),
)
