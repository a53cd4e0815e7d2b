"""One tenant whose calls all pay from one window account, without slices of it and with them.

Without slices the runs must lie with the window: one server takes all their operations. With slices of the window's
budget in the workers' memory, a run may lie wherever its own name puts it, and that server sees the slices alone. The
runs themselves stay in the store, so that a stop from elsewhere is met by the next call.

A worker takes its next slice when a call finds nothing in its hands, gives back what it has not used after `HORIZON`,
and loses what it has in its hands when it crashes: the account is charged for that in full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from benchmarks.slices.costs import MEASURED, Costs
from benchmarks.slices.events import Events, Station
from benchmarks.slices.rules import HORIZON, Need, Rule
from benchmarks.slices.shared_account import SharedAccount

MOST_OF_IT = 0.9  # of the limit: the rate is taken before the last calls, of which there are too few for all


@dataclass(frozen=True)
class Tenant:
    """What is simulated.

    Attributes:
        limit: Calls that the window allows.
        workers: Processes that work for the tenant.
        tasks: Calls that each of them has under way at most, on average.
        servers: Of the cluster; the window lies on the first one.
        skew: How unlike the workers are: the n-th has tasks as 1 / n ** skew; 0 makes them equal.
        rule: How large a slice is; `None` is without slices.
        crashes: Part of the workers that are killed, each once, and come back at once.
        seed: Of the dice.
        costs: What each thing takes.
    """

    limit: int
    workers: int
    tasks: int = 32
    servers: int = 1
    skew: float = 0.0
    rule: Rule | None = None
    crashes: float = 0.0
    seed: int = 1
    costs: Costs = MEASURED


@dataclass
class Result:
    """What came of it.

    Attributes:
        rate: Calls a second, until nine tenths of the limit were made.
        left_at_first: Calls that lay unused in workers' hands when the first call found nothing left.
        left_at_end: Calls that nobody ever made, what crashes burnt apart.
        made: Calls that were made and settled.
        lost_under_way: Calls that were under way when their worker crashed: charged, as without slices.
        burnt: Calls that were charged for crashed workers' slices and never begun.
        most_in_one_hand: The most unused calls that one worker had in its hands at a time.
        most_in_all_hands: The same of all workers together.
        longest_wait: Seconds that a call waited at the longest for other workers to give back.
        most_at_once: The most that was settled and handed out together.
        slices: Slices that were taken.
    """

    rate: float = 0.0
    left_at_first: int = -1
    left_at_end: int = 0
    made: int = 0
    lost_under_way: int = 0
    burnt: int = 0
    most_in_one_hand: int = 0
    most_in_all_hands: int = 0
    longest_wait: float = 0.0
    most_at_once: int = 0
    slices: int = 0


@dataclass
class Slice:
    """So many calls in a worker's hands."""

    given: int
    taken_at: float
    begun: int = 0
    ended: int = 0
    closed: bool = False


@dataclass
class Worker:
    """One process: its processor, its slices, the next one on its way, and the tasks that wait for it."""

    processor: Station = field(default_factory=Station)
    slices: list[Slice] = field(default_factory=list)
    parked: deque[int] = field(default_factory=deque)
    asking: bool = False
    on_its_way: int = 0
    pace: float = 0.0
    life: int = 0

    def unused(self) -> int:
        """Calls that it may begin, and for which no task of it waits."""
        in_hand = sum(each.given - each.begun for each in self.slices if not each.closed)
        return max(0, in_hand + self.on_its_way - len(self.parked))


class Simulation:
    """See the module. `run` plays it until the limit is used up and nobody can get anything any more."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.result = Result()
        self._costs = tenant.costs
        self._dice = Random(tenant.seed)
        self._events = Events()
        self._servers = [Station() for _ in range(tenant.servers)]
        self._account = SharedAccount(tenant.limit)
        self._workers = [Worker() for _ in range(tenant.workers)]
        self._waiting: deque[tuple[Worker, float, int]] = deque()
        self._account.when_something_came_back = self._serve_waiting

    def run(self) -> Result:
        """Play it."""
        shares = [1.0 / (number + 1) ** self.tenant.skew for number in range(len(self._workers))]
        every_task = self.tenant.tasks * len(self._workers) / sum(shares)
        for worker, part in zip(self._workers, shares, strict=True):
            for _ in range(max(1, round(every_task * part))):
                self._events.at(self._dice.random() * self._costs.worker, self._begin(worker, worker.life))
        if self.tenant.crashes:
            self._plan_crashes()
        self._events.run()
        result, account = self.result, self._account
        if result.left_at_first < 0:
            self._first_shortage()
        result.most_at_once = account.most_at_once
        result.left_at_end = account.left + account.handed_out
        return result

    # A task

    def _begin(self, worker: Worker, life: int) -> Callable[[], None]:
        return lambda: self._turn(worker, life)

    def _turn(self, worker: Worker, life: int) -> None:
        """The framework's part of an agent's turn comes first."""
        if worker.life != life:
            return
        done = worker.processor.serve(self._events.now, self._costs.worker)
        if self.tenant.rule is None:
            self._events.at(done, lambda: self._reserve_shared(worker, life))
        else:
            self._events.at(done, lambda: self._reserve_in_hand(worker, life))

    def _visit(self, server: Station, seconds: float) -> float:
        """When the answer of a server is here."""
        half = self._costs.round_trip / 2
        return server.serve(self._events.now + half, seconds) + half

    # Without slices: three round trips to the window's server.

    def _reserve_shared(self, worker: Worker, life: int) -> None:
        answered = self._visit(self._servers[0], self._costs.reserve_both)
        if not self._account.take(1):
            self._first_shortage()
            return
        self._events.at(answered, lambda: self._dispatch_shared(worker, life))

    def _dispatch_shared(self, worker: Worker, life: int) -> None:
        answered = self._visit(self._servers[0], self._costs.dispatch_both)
        self._events.at(answered + self._model_seconds(), lambda: self._settle_shared(worker, life))

    def _settle_shared(self, worker: Worker, life: int) -> None:
        answered = self._visit(self._servers[0], self._costs.settle_both)
        self._account.settle(1, 1)
        self._one_more()
        self._events.at(answered, self._begin(worker, life))

    # With slices: the window in memory, the run on its own server.

    def _reserve_in_hand(self, worker: Worker, life: int) -> None:
        if worker.life != life:
            return
        held = next((each for each in worker.slices if not each.closed and each.begun < each.given), None)
        if held is None:
            worker.parked.append(life)
            self._ask(worker)
            return
        held.begun += 1
        run = self._dice.randrange(self.tenant.servers)
        answered = self._visit(self._servers[run], self._costs.reserve)
        self._events.at(answered, lambda: self._dispatch_run(worker, life, held, run))

    def _dispatch_run(self, worker: Worker, life: int, held: Slice, run: int) -> None:
        if worker.life != life:
            return
        answered = self._visit(self._servers[run], self._costs.dispatch)
        self._events.at(answered + self._model_seconds(), lambda: self._settle_run(worker, life, held, run))

    def _settle_run(self, worker: Worker, life: int, held: Slice, run: int) -> None:
        if worker.life != life:
            return
        answered = self._visit(self._servers[run], self._costs.settle)
        held.ended += 1
        self._one_more()
        if held.ended == held.begun and (held.closed or held.begun == held.given):
            self._settle_slice(worker, held)
        self._events.at(answered, self._begin(worker, life))

    def _model_seconds(self) -> float:
        return self._dice.expovariate(1.0 / self._costs.model)

    # Slices

    def _ask(self, worker: Worker) -> None:
        """Take the next slice, by one round trip to the window's server."""
        if worker.asking:
            return
        worker.asking = True
        answered = self._visit(self._servers[0], self._costs.call)
        given = worker.on_its_way = self._take(worker)
        life = worker.life
        if given:
            self._events.at(answered, lambda: self._have(worker, life, given))
            return
        self._first_shortage()
        if self._account.handed_out:
            self._waiting.append((worker, self._events.now, life))

    def _take(self, worker: Worker) -> int:
        assert self.tenant.rule is not None
        wanted = self.tenant.rule(Need(self._account.left, len(self._workers), worker.pace))
        return self._account.take(wanted)

    def _have(self, worker: Worker, life: int, given: int) -> None:
        if worker.life != life:
            self._burn(given)
            return
        held = Slice(given, self._events.now)
        worker.slices.append(held)
        worker.asking, worker.on_its_way = False, 0
        self.result.slices += 1
        self._note_hands(worker)
        self._events.at(self._events.now + HORIZON, lambda: self._give_back(worker, life, held))
        for _ in range(min(given, len(worker.parked))):
            self._reserve_in_hand(worker, worker.parked.popleft())
        if worker.parked:
            self._ask(worker)

    def _give_back(self, worker: Worker, life: int, held: Slice) -> None:
        """Its horizon is over: what was not begun goes back, and the rest once it has ended."""
        if worker.life != life or held not in worker.slices:
            return
        worker.pace = held.begun / HORIZON
        unused = held.given - held.begun
        held.closed = True
        if unused:
            self._visit(self._servers[0], self._costs.settle)
            held.given = held.begun
            self._account.settle(unused, 0)
        if held.ended == held.begun:
            self._settle_slice(worker, held)

    def _settle_slice(self, worker: Worker, held: Slice) -> None:
        """What the round trip of the next slice tells of this one, without a further one."""
        worker.slices.remove(held)
        if not held.closed:
            worker.pace = held.given / max(self._events.now - held.taken_at, self._costs.worker)
        self._account.settle(held.given, held.ended)

    def _serve_waiting(self) -> None:
        while self._waiting and self._account.left > 0:
            worker, since, life = self._waiting.popleft()
            if worker.life != life:
                continue
            self.result.longest_wait = max(self.result.longest_wait, self._events.now - since)
            answered = self._visit(self._servers[0], self._costs.call)
            given = worker.on_its_way = self._take(worker)
            self._events.at(answered, partial(self._have, worker, life, given))

    # What is measured

    def _first_shortage(self) -> None:
        if self.result.left_at_first >= 0:
            return
        self.result.left_at_first = sum(worker.unused() for worker in self._workers)

    def _one_more(self) -> None:
        self.result.made += 1
        if self.result.made == int(self.tenant.limit * MOST_OF_IT):
            self.result.rate = self.result.made / self._events.now

    def _note_hands(self, worker: Worker) -> None:
        result = self.result
        result.most_in_one_hand = max(result.most_in_one_hand, worker.unused())
        if result.slices % len(self._workers) == 0 or result.slices < 2 * len(self._workers):
            result.most_in_all_hands = max(result.most_in_all_hands, sum(each.unused() for each in self._workers))

    # Crashes

    def _plan_crashes(self) -> None:
        seconds = self.tenant.limit / min(
            len(self._workers) / self._costs.worker, self.tenant.servers / self._costs.call
        )
        for worker in self._workers:
            if self._dice.random() < self.tenant.crashes:
                self._events.at(self._dice.random() * seconds, partial(self._crash, worker))

    def _crash(self, worker: Worker) -> None:
        """Nobody is heard of again: its slices are charged in full; another process with as many tasks as any takes its
        place."""
        tasks = max(1, self.tenant.tasks)
        worker.life += 1
        for held in worker.slices:
            self._burn(held.given - held.begun)
            self.result.lost_under_way += held.begun - held.ended
            self._account.settle(held.begun, held.begun)
        worker.slices, worker.parked, worker.asking, worker.on_its_way, worker.pace = [], deque(), False, 0, 0.0
        for _ in range(tasks):
            self._events.at(
                self._events.now + self._dice.random() * self._costs.worker, self._begin(worker, worker.life)
            )

    def _burn(self, unused: int) -> None:
        self.result.burnt += unused
        self._account.settle(unused, unused)


def simulate(tenant: Tenant) -> Result:
    """Play *tenant* from its first call to its last."""
    return Simulation(tenant).run()
