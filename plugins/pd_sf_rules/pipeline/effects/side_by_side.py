"""Actions carried out side by side: their requests by a few threads, what the ledger keeps of them by this one.

What several of them have to note at one moment is one transaction. So a process that dies leaves no more requests in
doubt than were under way, and the ledger sees one writer, however many requests there are.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import RateLimitedError, RetryableError, SyncError
from pd_sf_rules.ledger import actions
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.effects.sending import AnsweredError
from pd_sf_rules.pipeline.prepare import OurFaultError, Task, our_fault
from pd_sf_rules.pipeline.run import Run, owner
from pd_sf_rules.planning.kinds import requests_of

OUT_OF_REACH = 3
"""So many requests in a row without a usable answer: the service, or the way to it, is down. So many go out first."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A step in the ledger; `yield` gives back what `write` returns once it is committed."""

    write: Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class Called:
    """A step that asks a service; `yield` gives back what `send` returns."""

    send: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Joined:
    """A row of a request that all actions share; `yield` gives back its own result."""

    row: Any


Steps = Generator[Noted | Called | Joined, Any, None]
Effect = Callable[[Run, Task], Steps]
Together = Callable[[Sequence[Any]], Sequence[Any]]


def side_by_side(
    run: Run, tasks: Sequence[Task], effect: Effect, *, together: Together | None = None
) -> None:
    """Carry out tasks, each in its own steps; an error concludes its own task, a rate limit also its kind's not begun.

    Any error but the server's answer leaves open what became of a request that went out: it is looked for later.
    After OUT_OF_REACH failures in a row the service is not there: what was not begun is given back untried.
    Two tasks about one record or incident never go at once. `together` sends the rows of Joined steps, and returns a
    result for each. Raises SyncError when the ledger cannot take an outcome, after all that is under way has come back.
    """
    most = run.integration.limits.parallel_requests
    kinds = {requests_of(task.action.kind) for task in tasks}
    # A wave goes on where the last one of the same requests ended, if that went well.
    reached = min((run.widths.pop(kind, OUT_OF_REACH) for kind in kinds), default=OUT_OF_REACH)
    with ThreadPoolExecutor(most, thread_name_prefix="request") as pool:
        width = len(tasks) if together else min(reached, most)
        crew = _Crew(run, effect, pool, together, most=max(most, width), width=width)
        crew.carry_out(tasks)
    if crew.goes_well and not together:
        run.widths |= dict.fromkeys(kinds, crew.width)


@dataclass(slots=True)
class _Job:
    """One task under way. `asked`: it asked a service. `concluding` is the last it does: to note how it ended."""

    task: Task
    steps: Steps
    keys: frozenset[str]
    waits: bool = True
    asked: bool = False
    concluding: bool = False


@dataclass(slots=True)
class _Crew:
    """`width` is how many may be under way: one more after each success, up to `most`."""

    run: Run
    effect: Effect
    pool: ThreadPoolExecutor
    together: Together | None
    most: int
    width: int
    _left: deque[Task] = field(default_factory=deque)
    _busy: set[str] = field(default_factory=set)
    _writes: list[tuple[_Job, Callable[[Connection], Any]]] = field(default_factory=list)
    _rows: list[tuple[_Job, Any]] = field(default_factory=list)
    _under_way: dict[Future[Any], _Job] = field(default_factory=dict)
    _in_a_row: int = 0
    _trouble: SyncError | None = None

    def carry_out(self, tasks: Sequence[Task]) -> None:
        """Begin, note, and hear what came back, until all are through."""
        self._left.extend(tasks)
        while True:
            self._begin()
            if self._writes:
                self._note()
            elif self._rows:
                self._send_rows()
            elif self._under_way:
                done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    self._hear(self._under_way.pop(future), future)
            else:
                break
        if self._trouble is not None:
            raise self._trouble

    @property
    def goes_well(self) -> bool:
        """Whether the last request had a usable answer."""
        return self._in_a_row == 0

    def _begin(self) -> None:
        """Begin as many as there is room for; one that touches what another is at waits, and what comes after it."""
        if self._in_a_row >= OUT_OF_REACH:
            self._give_back()
        if self._trouble is not None or not self._left:
            return
        asking = [job for job, _ in self._writes if job.waits]
        # After a failure no more go out than make three in a row.
        width = min(self.width, OUT_OF_REACH - self._in_a_row) if self._in_a_row else self.width
        room = width - len(self._under_way) - len(asking) - len(self._rows)
        taken = set(self._busy)
        aside: deque[Task] = deque()
        while self._left and room > 0:
            task = self._left.popleft()
            keys = _touched(task)
            if keys & taken:
                aside.append(task)
            else:
                self._busy |= keys
                self._go_on(_Job(task, self.effect(self.run, task), keys))
                room -= 1
            taken |= keys
        self._left.extendleft(reversed(aside))

    def _note(self) -> None:
        """Write what is due in one transaction; where one of them is at fault, each in its own."""
        due, self._writes = self._writes, []
        if not self._noted(due):
            for one in due:
                self._noted([one])

    def _noted(self, due: Sequence[tuple[_Job, Callable[[Connection], Any]]]) -> bool:
        """Say whether the jobs have heard how their writing went; False where only some of them may be at fault."""
        try:
            with self.run.ledger.begin() as c:
                told = [write(c) for _, write in due]
        except Exception as error:  # noqa: BLE001  given to those whose writing it stopped
            if len(due) > 1 and not isinstance(error, SyncError):
                return False
            for job, _ in due:
                self._go_on(job, error=error)
            return True
        for (job, _), value in zip(due, told, strict=True):
            self._go_on(job, value)
        return True

    def _send_rows(self) -> None:
        rows, self._rows = self._rows, []
        assert self.together is not None
        try:
            results = self.together([row for _, row in rows])
        except Exception as error:  # noqa: BLE001  recorded on each of them
            for job, _ in rows:
                self._go_on(job, error=error)
            return
        for (job, _), result in zip(rows, results, strict=True):
            self._go_on(job, result)

    def _hear(self, job: _Job, future: Future[Any]) -> None:
        job.waits = False
        error = future.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        self._go_on(job, None if error else future.result(), error=error)

    def _go_on(self, job: _Job, value: Any = None, *, error: Exception | None = None) -> None:
        """Take a job to its next step."""
        try:
            step = job.steps.send(value) if error is None else job.steps.throw(error)
        except StopIteration:
            self._ended(job, None, answered=True)
        except AnsweredError as answer:
            self._ended(job, answer.error, answered=True)
        except SyncError as other:
            self._ended(job, other, answered=False)
        except Exception as fault:  # noqa: BLE001  recorded: one action's fault must not stop the others
            self._ended(job, our_fault(fault), answered=False)
        else:
            match step:
                case Noted(write):
                    self._writes.append((job, write))
                case Called(send):
                    job.asked = True
                    self._under_way[self.pool.submit(send)] = job
                case Joined(row):
                    job.asked = True
                    self._rows.append((job, row))

    def _ended(self, job: _Job, error: SyncError | None, *, answered: bool) -> None:
        if job.concluding:
            self._trouble = self._trouble or error
            self._busy -= job.keys
            return
        if error is None:
            self._busy -= job.keys
            if job.asked:  # what had nothing to do says nothing of the service
                self._in_a_row = 0
                self.width = min(self.width + 1, self.most)
            return
        self._conclude(job.task, error, job.keys, in_doubt=not answered)
        self._in_a_row = self._in_a_row + 1 if _unanswered(error) else 0
        if isinstance(error, RateLimitedError):
            self._hold_back(requests_of(job.task.action.kind), error)
        elif self._in_a_row >= OUT_OF_REACH:
            self._give_back()

    def _hold_back(self, limited: str, error: RateLimitedError) -> None:
        """Conclude those not begun that are made by the same requests: a limit says nothing about others."""
        self.width = min(self.width, OUT_OF_REACH)
        waiting, self._left = self._left, deque()
        for task in waiting:
            if requests_of(task.action.kind) == limited:
                self._conclude(task, error, frozenset(), in_doubt=True)
            else:
                self._left.append(task)

    def _conclude(
        self, task: Task, error: SyncError, keys: frozenset[str], *, in_doubt: bool
    ) -> None:
        def steps() -> Steps:
            yield Noted(
                lambda c: outcomes.failed(c, self.run, task.action, error, in_doubt=in_doubt)
            )

        self._go_on(_Job(task, steps(), keys, waits=False, concluding=True))

    def _give_back(self) -> None:
        if not self._left:
            return
        ids = [task.action.id for task in self._left]
        first = self._left[0]
        self._left.clear()

        def steps() -> Steps:
            yield Noted(lambda c: actions.release(c, ids, owner=owner()))

        self._go_on(_Job(first, steps(), frozenset(), waits=False, concluding=True))


def _touched(task: Task) -> frozenset[str]:
    return frozenset(task.incidents).union(record_id for _, record_id in task.records)


def _unanswered(error: SyncError) -> bool:
    """Say whether an error tells of the service and not of this one action."""
    return isinstance(error, RetryableError) and not isinstance(
        error, RateLimitedError | OurFaultError
    )
