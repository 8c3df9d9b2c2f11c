"""Chunk functions: one call for many jobs, and everything else stays each job's own."""

from collections.abc import AsyncIterator
from random import Random

import pytest
import trio

from tests.runners.chunk_functions import LINGER_S, Gate, app, gate
from tests.runners.jobs import a_job, error, result, run_all, until
from trioworker.app import App
from trioworker.model.job import Job
from trioworker.model.options import JobOptions
from trioworker.model.outcome import Cancelled, Failed, JobError, Outcome, Retried, Snoozed
from trioworker.runners.function import FunctionRunner
from trioworker.runners.joblog import JobLog

FLAVOURS = ("async", "thread", "asyncio", "process")


@pytest.fixture
async def runner() -> AsyncIterator[FunctionRunner]:
    """An open runner with one process; the gate is as new."""
    Gate.__init__(gate)
    runner = FunctionRunner(app, Random(1), processes=1)
    async with runner.open():
        yield runner


def items(path: str, *hows: str) -> list[Job]:
    """Jobs 0, 1, 2, … that end as they are told."""
    return [a_job(path, f'{{"number":{n},"how":"{how}"}}') for n, how in enumerate(hows)]


async def logged(runner: FunctionRunner, jobs: list[Job]) -> list[str]:
    """The logs of jobs that run at the same time."""
    logs = [JobLog() for _ in jobs]
    async with trio.open_nursery() as nursery:
        for job, log in zip(jobs, logs, strict=True):
            nursery.start_soon(runner.run, job, log)
    return [log.text() for log in logs]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_chunk_returns_a_result_or_an_exception_for_each_job(
    runner: FunctionRunner, flavour: str
) -> None:
    """In order; verdicts mean what they mean when they are raised, and retry_if is asked."""
    path = f"{flavour} square"
    nine, failure, one = await run_all(runner, items(path, "result", "error", "exit"))
    assert result(nine) == "0"
    assert error(failure) == JobError("ValueError", "no 1", "ValueError: no 1\n")
    assert error(one).name == "SystemExit"
    assert isinstance(failure, Failed)
    assert isinstance(one, Failed)
    assert (failure.for_good, one.for_good) == (True, False)
    assert await run_all(runner, items(path, "snooze", "retry", "cancel")) == [
        Snoozed(3.0),
        Retried(JobError("Retry", "busy"), 4.0),
        Cancelled("enough"),
    ]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_result_that_is_no_json_costs_only_its_own_job(
    runner: FunctionRunner, flavour: str
) -> None:
    """Its neighbours have their results."""
    before, bad, after = await run_all(
        runner, items(f"{flavour} square", "result", "object", "result")
    )
    assert (result(before), result(after)) == ("0", "4")
    assert error(bad).name == "UnserializableResult"


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_bad_arguments_cost_only_their_own_job(runner: FunctionRunner, flavour: str) -> None:
    """They are refused before the chunk forms, which goes on without them."""
    path = f"{flavour} square"
    jobs = [*items(path, "result", "result", "result"), a_job(path, '{"numbr":1}')]
    *good, bad = await run_all(runner, jobs)
    assert [result(outcome) for outcome in good] == ["0", "1", "4"]
    refused = f"job '{path}': there is no argument 'numbr'; it takes number, how"
    assert bad == Failed(JobError("InvalidArguments", refused), for_good=True)


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_chunk_that_raises_ends_each_of_its_jobs_so(
    runner: FunctionRunner, flavour: str
) -> None:
    """A failure with its traceback, which begins in the user's code, or a verdict."""
    path = f"{flavour} whole"
    failures = await run_all(runner, items(path, "error", "error", "error"))
    assert len({id(failure) for failure in failures}) == 1
    failure = error(failures[0])
    assert (failure.name, failure.message[:3]) == ("ValueError", "no ")
    assert failure.traceback is not None
    first_frame = next(line for line in failure.traceback.splitlines() if "File" in line)
    assert "chunk_functions.py" in first_frame
    retried = await run_all(runner, items(path, "retry", "retry", "retry"))
    assert retried == [Retried(JobError("Retry", "busy"), 4.0)] * 3


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("how", "what"), [("few", "1 results for 3 calls"), ("none", "a NoneType")]
)
async def test_results_that_are_not_one_for_each_call_fail_each_job(
    runner: FunctionRunner, flavour: str, how: str, what: str
) -> None:
    """Nobody can tell whose result is missing, so one clear line goes to all."""
    outcomes = await run_all(runner, items(f"{flavour} whole", how, how, how))
    message = (
        f"the chunk function returned {what}; it must return a list with a result or an exception"
        " for each of its 3 calls, in their order"
    )
    assert outcomes == [Failed(JobError("InvalidResults", message))] * 3


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_calls_know_their_jobs_and_have_logs_of_their_own(
    runner: FunctionRunner, flavour: str
) -> None:
    """What the function prints is in each job's log, what a call logs in its own only."""
    path = f"{flavour} tell"
    told = await run_all(runner, items(path, "", "", ""))
    assert [result(outcome) for outcome in told] == [f'"{n} 1 default True"' for n in range(3)]
    logs = await logged(runner, items(path, "", "", ""))
    assert logs == [f"for all\nfor {n}\n" for n in range(3)]


async def test_more_jobs_than_a_chunk_takes_are_several_chunks(runner: FunctionRunner) -> None:
    """Each full chunk begins at once, and the functions of others are not mixed in."""
    squares = items("async square", *["result"] * 6)
    others = items("thread square", *["result"] * 3)
    async with trio.open_nursery() as nursery:
        logs: list[str] = []

        @nursery.start_soon
        async def both() -> None:
            logs.extend(await logged(runner, squares + others))

    assert logs == ["chunk of 3\n"] * 9


async def test_a_chunk_waits_for_more_calls_only_so_long(
    runner: FunctionRunner, autojump_clock: trio.testing.MockClock
) -> None:
    """What is there when `linger_s` have passed is run."""
    del autojump_clock
    began_s = trio.current_time()
    assert await logged(runner, items("async square", "result", "result")) == ["chunk of 2\n"] * 2
    assert trio.current_time() - began_s == pytest.approx(LINGER_S)


async def test_a_chunk_waits_for_no_more_jobs_than_the_worker_runs_at_once() -> None:
    """With all slots in one chunk nobody else can come."""
    runner = FunctionRunner(app, Random(1), concurrency=2)
    async with runner.open():
        with trio.fail_after(LINGER_S / 2):
            logs = await logged(runner, items("async square", "result", "result"))
    assert logs == ["chunk of 2\n"] * 2


class Waiting:
    """Jobs that run side by side, each of which can be cancelled alone."""

    def __init__(self, runner: FunctionRunner, nursery: trio.Nursery) -> None:
        self._runner = runner
        self._nursery = nursery
        self.scopes: list[trio.CancelScope] = []
        self.outcomes: dict[int, Outcome] = {}
        self.over: set[int] = set()
        self.logs: list[JobLog] = []

    def start(self, path: str) -> None:
        """Start one more; its number is how many there were before."""
        number = len(self.scopes)
        self.scopes.append(trio.CancelScope())
        self.logs.append(JobLog())
        self._nursery.start_soon(self._run, number, path)

    async def _run(self, number: int, path: str) -> None:
        with self.scopes[number]:
            job = a_job(path, f'{{"number":{number}}}')
            self.outcomes[number] = await self._runner.run(job, self.logs[number])
        self.over.add(number)

    async def all_blocked(self) -> None:
        """Until nothing can happen by itself."""
        await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_job_that_is_cancelled_in_its_chunk_costs_its_neighbours_nothing(
    runner: FunctionRunner,
) -> None:
    """It is told so at once; the others get their results from the same call."""
    async with trio.open_nursery() as nursery:
        waiting = Waiting(runner, nursery)
        for _ in range(3):
            waiting.start("waits")
        await until(gate.entered.is_set)
        waiting.scopes[1].cancel()
        await until(lambda: 1 in waiting.over)
        assert waiting.outcomes == {}
        gate.open.set()
    assert {number: result(one) for number, one in waiting.outcomes.items()} == {0: "0", 2: "2"}
    assert sorted(gate.calls[0]) == [0, 1, 2]


async def test_the_last_job_to_leave_takes_the_call_with_it(runner: FunctionRunner) -> None:
    """When nobody waits for a result any more, the function is cancelled, and has ended."""
    async with trio.open_nursery() as nursery:
        waiting = Waiting(runner, nursery)
        for _ in range(3):
            waiting.start("waits")
        await until(gate.entered.is_set)
        for scope in waiting.scopes[:2]:
            scope.cancel()
        await until(lambda: len(waiting.over) == 2)
        assert gate.ended_as == ""
        waiting.scopes[2].cancel()
    assert gate.ended_as == "cancelled"
    assert waiting.outcomes == {}


async def test_a_job_that_leaves_before_its_chunk_begins_is_not_in_it(
    runner: FunctionRunner,
) -> None:
    """Its place is free for another; and a chunk that all have left takes nobody in."""
    async with trio.open_nursery() as nursery:
        waiting = Waiting(runner, nursery)
        waiting.start("lingers")
        await waiting.all_blocked()
        waiting.scopes[0].cancel()
        await until(lambda: 0 in waiting.over)
        for _ in range(2):
            waiting.start("lingers")
        with trio.fail_after(LINGER_S / 2):
            await until(lambda: len(waiting.over) == 3)
    assert gate.calls in ([[1, 2]], [[2, 1]])
    assert sorted(waiting.outcomes) == [1, 2]


async def test_a_chunk_that_all_have_left_takes_nobody_in(runner: FunctionRunner) -> None:
    """Whoever comes while it is being cancelled has a chunk of their own, in whichever order."""

    async def leave_and_come() -> None:
        async with trio.open_nursery() as nursery:
            waiting = Waiting(runner, nursery)
            waiting.start("hurries")
            await trio.testing.wait_all_tasks_blocked()
            waiting.scopes[0].cancel()
            for _ in range(2):
                waiting.start("hurries")
                await trio.lowlevel.checkpoint()
            with trio.fail_after(30):
                await until(lambda: len(waiting.over) == 3)
        assert waiting.outcomes.keys() >= {1, 2}

    for _ in range(30):
        await leave_and_come()


async def test_each_job_has_its_own_timeout(runner: FunctionRunner) -> None:
    """The function's is for those that have none; one with more patience keeps the call alive."""
    jobs = [
        a_job("times_out", '{"number":0}'),
        a_job("times_out", '{"number":1}', options=JobOptions(timeout_s=3600)),
        a_job("times_out", '{"number":2}'),
    ]
    outcomes: dict[int, Outcome] = {}

    async def one(number: int) -> None:
        outcomes[number] = await runner.run(jobs[number], JobLog())

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(one, number)
        await until(lambda: len(outcomes) == 2)
        nursery.cancel_scope.cancel()
    assert [error(outcomes[number]).name for number in (0, 2)] == ["Timeout", "Timeout"]


async def test_a_chunk_that_kills_its_process_fails_its_jobs_and_no_others(
    runner: FunctionRunner,
) -> None:
    """They were in it together; the next chunk has a new process."""
    logs = [JobLog(), JobLog()]
    outcomes: list[Outcome] = []

    async def one(job: Job, log: JobLog) -> None:
        outcomes.append(await runner.run(job, log))

    async with trio.open_nursery() as nursery:
        for job, log in zip(items("dies", "", ""), logs, strict=True):
            nursery.start_soon(one, job, log)
    assert [error(outcome).name for outcome in outcomes] == ["ProcessDied"] * 2
    assert error(outcomes[0]).message.endswith("last output: about to leave")
    assert [log.text() for log in logs] == ["about to leave\n"] * 2
    assert len({result(o) for o in await run_all(runner, items("process_id", "", ""))}) == 1


async def test_a_chunk_function_of_the_started_program_is_told_where_to_go() -> None:
    """As for any function that another process could not import."""
    mine = App()

    def here(calls: list[dict[str, object]]) -> list[object]:
        return list(calls)

    here.__qualname__ = "here"
    here.__module__ = "__main__"
    mine.job(flavour="process", chunk=1)(here)
    runner = FunctionRunner(mine, Random(1))
    async with runner.open():
        (outcome,) = await run_all(runner, [a_job("here")])
    assert error(outcome).name == "NotImportable"
