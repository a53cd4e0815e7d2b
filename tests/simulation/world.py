"""One simulated world: a clock that only the simulation moves, one ledger, a few runs, and the rules of its seed."""

from __future__ import annotations

from random import Random
from typing import Any

from mas_guard._engine import Engine
from mas_guard._group import Group
from mas_guard._plugins import Plugins
from mas_guard._run import Run
from mas_guard.config import Policy, policy_of
from mas_guard.ledger import MemoryLedger
from mas_guard.types import Amounts, Limits, ModelCall, ToolCall
from tests.simulation.books import Books

OWNER = "triage"
AGENTS = (OWNER, "search", "writer", "nobody's friend")
MODELS = ("gpt-4o-mini", "gpt-4o", "a model without a price")


class Clock:
    """Seconds that pass only where the simulation says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        """The drivers' own name for it."""
        return self.now


class World:
    """What one seed makes: policies, runs, groups, and the books on what was sent and billed."""

    def __init__(self, seed: int, *, provider_keeps_caps: bool = True) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = Clock()
        self.ledger = MemoryLedger(clock=self.clock)
        self.engine = Engine(policy_of(), plugins=Plugins(entry_points=False), ledger=self.ledger, now=self.clock)
        self.provider_keeps_caps = provider_keeps_caps
        self.groups = [self._group(name) for name in range(self.random.choice((0, 0, 1, 2)))]
        self.runs = [self._run() for _ in range(self.random.randint(1, 3))]
        self.books = Books(self)

    def _group(self, name: int) -> Group:
        limits = Limits(self._maybe(8_000, 120_000), self._maybe(3, 40), self._maybe(2, 40), None)
        return Group(self.engine, f"group {name}", limits)

    def _maybe(self, least: int, most: int) -> int | None:
        return self.random.randint(least, most) if self.random.random() < 0.6 else None

    def _run(self) -> Run:
        random = self.random
        policy = self._policy()
        groups = tuple(group for group in self.groups if random.random() < 0.6)
        run = Run(self.engine, policy, owner=random.choice((OWNER, OWNER, "")), groups=groups)
        # What the adapter finds out about the app: an owner with a model, and that others act beside it.
        has_model = random.random() < 0.9
        run.owner_has_model = lambda: has_model and bool(run.owner)
        run.other_agents = lambda: True
        if not run.owner and random.random() < 0.7:
            run.set_owner(OWNER)
        return run

    def _policy(self) -> Policy:
        random = self.random
        tight = random.random() < 0.4
        budget: dict[str, Any] = {
            "tokens": random.choice(("none", "none", random.randint(3_000, 20_000 if tight else 100_000))),
            "model_calls": random.choice(("none", "none", random.randint(1, 12 if tight else 60))),
            "tool_calls": random.choice(("none", "none", random.randint(1, 8 if tight else 40))),
            "usd": random.choice(("none", "none", "none", f"0.{random.randint(1, 200 if tight else 2_000):04d}")),
        }
        settings: dict[str, Any] = {
            "budget": budget,
            "max_hops": random.choice(("none", random.randint(1, 5))),
            "deadline": random.choice(("none", f"{random.randint(2, 120)}s")),
            "owner_reserve": random.choice((0.1, 0.3)),
            "on_limit": random.choice(("owner,abort", "owner,abort", "owner,partial,abort", "partial,abort", "abort")),
            "budget_wait": random.choice(("none", "none", f"{random.randint(1, 30)}s")),
        }
        if random.random() < 0.3:
            settings["agent_budget"] = {
                "tokens": random.choice(("none", random.randint(2_000, 20_000))),
                "model_calls": random.randint(1, 5),
            }
        return policy_of(**settings)

    # -- what the app does -----------------------------------------------------------------------------

    def model_call(self, agent: str) -> ModelCall:
        """A call that *agent* might make of some model."""
        random = self.random
        model = MODELS[random.choices((0, 1, 2), (80, 18, 2))[0]]
        return ModelCall(
            model,
            agent,
            input_bound=random.choice((10, random.randint(1, 400), random.randint(1, 4_000))),
            max_output=random.choice((None, None, random.randint(1, 2_000))),
            choices=random.choice((1, 1, 1, 2)),
            requests=random.choice((1, 1, 1, 1, 2)),
            last_message=f"question {random.randint(0, 9)}",
            count_exactly=random.choice((None, lambda: None)),
        )

    def tool_call(self, agent: str) -> ToolCall:
        """A call that *agent* might make of some tool."""
        random = self.random
        return ToolCall(
            random.choice(("search", "fetch")), {"page": random.choice((0, 0, 0, random.randint(1, 9)))}, agent
        )

    def next_seconds(self) -> float:
        """How far the clock jumps when it jumps: mostly a little, now and then past every lease."""
        random = self.random
        if random.random() < 0.03:
            return random.choice((61.0, 901.0, 2_000.0))
        return random.random() * 3

    # -- what must hold --------------------------------------------------------------------------------

    def check_ledger(self) -> None:
        """Assert that no account holds and spends more than it may."""
        for account in self.accounts():
            balance = self.ledger.read(account)
            if not self.provider_keeps_caps:
                continue
            for unit, limit, settled, held in zip(
                Amounts._fields, balance.limits, balance.settled, balance.held, strict=True
            ):
                assert limit is None or settled + held <= limit, (
                    f"{account.scope}: {settled} settled and {held} held of {limit} {unit}"
                )

    def accounts(self) -> list[Any]:
        """Every account that is open now: runs', groups', agents'."""
        return list(self.ledger._accounts.values())
