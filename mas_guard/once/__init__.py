"""Effects that happen at most once a run: what an effect is, what is recorded of it, and what the model is told.

An effect is a tool and the arguments that are named as its key. That it is begun is recorded, durably, before the tool is
called, so that neither a framework's retry nor a resume, a re-planned call or another process can carry it out again:
they are answered with its recorded result, or told that it is unknown whether it happened. Calls whose keys differ are
different effects. A tool that knows that nothing has happened raises `mas_guard.NoEffect` and may be called again.
"""

from __future__ import annotations

from mas_guard.once.keys import NoKey, effect_id_of, key_hash
from mas_guard.once.process import Process, this_process
from mas_guard.once.records import LONGEST_RESULT, EffectRecord, EffectRecords

RULE = "once"

__all__ = [
    "LONGEST_RESULT",
    "RULE",
    "EffectRecord",
    "EffectRecords",
    "NoKey",
    "Process",
    "effect_id_of",
    "key_hash",
    "this_process",
]
