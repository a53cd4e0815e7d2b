"""A worker whose runs are part of the group that its message brings; each makes one call."""

from __future__ import annotations

import json
import os
import sys

from openai import OpenAI

import mas_guard

client = OpenAI(base_url=os.environ["MODEL_URL"], api_key="x", max_retries=0)

for line in sys.stdin:
    message = json.loads(line)
    answered = refused = 0
    with mas_guard.extract(message["carrier"]):
        for number in range(message["runs"]):
            try:
                with mas_guard.run(f"item {number}"):
                    client.chat.completions.create(
                        model="gpt-4o-mini", max_tokens=50, messages=[{"role": "user", "content": "Is it paid?"}]
                    )
                    answered += 1
            except mas_guard.BudgetExceeded:
                refused += 1
    print(json.dumps({"answered": answered, "refused": refused}), flush=True)
