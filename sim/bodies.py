"""What simulated jobs do: the path of a job names its body.

Rule of this file: a body's outcome tells which execution produced it (job, attempt, how many times
before), so that an oracle can tell the stored outcome of one execution from that of another.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Final
from uuid import UUID

import msgspec
import trio

from sim.calls import CALLS, call
from sim.database.user_table import REFUSED, effect
from sim.families import FAMILIES, family
from sim.flowing import RECOVER
from sim.happenings import BodyEnded, BodyStarted, StepDone
from sim.plan import CACHED, CLIMB, HANDS_OVER, LONG
from sim.policies import DRAWN, POLICIES, TWICE
from trioworker.events import Emit
from trioworker.model.job import Job
from trioworker.model.options import RetryPolicy
from trioworker.model.outcome import (
    ERROR_MESSAGE_CHARS_MAX,
    Cancelled,
    Failed,
    JobError,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
    handing_over,
)
from trioworker.model.progress import Progress
from trioworker.model.user_statement import read, written
from trioworker.runners.immediate import flow_runner, identity_runner, noop_runner
from trioworker.runners.joblog import JobLog
from trioworker.runners.protocol import Runner

IMMEDIATE: Final = frozenset({"noop", "identity"})
DEADLY: Final = "deadly"
"""A job that kills the process that runs it."""
LONG_S: Final = 3.0
LONGER_S: Final = 11.0
"""Longer than a job that restarts has to rest."""
HUGE_CHARS: Final = 20_000
LINES: Final = 4
STEPS: Final = 3
SLIPS: Final = 0.3
FAILS_AFTER_ALL: Final = 0.15
ENOUGH: Final = 0.6
TRIES: Final = 2
"""How often a body that asks for another try or another time does so."""

Body = Callable[[Job, JobLog, "Said", Random], Awaitable[Outcome]]


class Said(msgspec.Struct, frozen=True):
    """What an execution leaves as its result: who it was."""

    job: UUID
    attempt: int
    execution: int


class SimRunner:
    """Runs the bodies in one worker life, and says when each begins and ends.

    `executions` counts all executions of a job in the whole world; `kill` ends the process, as
    long as jobs can do that. `life` is none for a process that was killed, which begins no job.
    """

    run_now: None = None

    def __init__(
        self,
        life: Callable[[], UUID | None],
        emit: Emit,
        rng: Random,
        executions: Counter[UUID],
        *,
        kill: Callable[[], None],
    ) -> None:
        self._life = life
        self._emit = emit
        self._rng = rng
        self._executions = executions
        self._kill = kill

    def retry_of(self, _job: Job) -> RetryPolicy | None:
        """Nothing but what the job says."""
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Nothing lives between jobs."""
        yield

    async def run(self, job: Job, log: JobLog) -> Outcome:
        """See `Runner`."""
        worker = self._life()
        if worker is None:
            await trio.sleep_forever()
        self._executions[job.id] += 1
        said = Said(job.id, job.attempt, self._executions[job.id])
        self._emit(BodyStarted(worker=worker, job=job.id, attempt=job.attempt, path=job.path))
        outcome: Outcome | None = None
        try:
            if job.path == DEADLY:
                self._kill()
                await trio.lowlevel.checkpoint()
            if job.path in FAMILIES:
                outcome = await family(job, log, said, self._rng, partial(self._done, worker, job))
            else:
                outcome = await BODIES[job.path](job, log, said, self._rng)
        finally:
            self._emit(
                BodyEnded(
                    worker=worker,
                    job=job.id,
                    attempt=job.attempt,
                    outcome=outcome,
                    log=log.text(),
                    labels=tuple(log.labels),
                )
            )
        return outcome

    def _done(self, worker: UUID, job: Job, step: str) -> None:
        self._emit(StepDone(worker=worker, job=job.id, attempt=job.attempt, name=step))


def runners(runner: SimRunner) -> Mapping[str, Runner]:
    """All kinds of job that the simulated workers run."""
    return {
        "function": runner,
        "noop": noop_runner(),
        "identity": identity_runner(),
        "flow": flow_runner(),
    }


def _result(said: Said) -> Succeeded:
    return Succeeded(msgspec.json.encode(said))


async def _ok(_job: Job, _log: JobLog, said: Said, rng: Random) -> Outcome:
    await trio.sleep(rng.uniform(0.0, 0.02))
    return _result(said)


async def _slow(_job: Job, _log: JobLog, said: Said, rng: Random) -> Outcome:
    await trio.sleep(rng.uniform(0.5, 4.0))
    return _result(said)


async def _long(_job: Job, _log: JobLog, said: Said, _rng: Random) -> Outcome:
    await trio.sleep(LONG_S)
    return _result(said)


async def _longer(_job: Job, _log: JobLog, said: Said, _rng: Random) -> Outcome:
    await trio.sleep(LONGER_S)
    return _result(said)


async def _raise(_job: Job, _log: JobLog, said: Said, rng: Random) -> Outcome:
    await trio.sleep(rng.uniform(0.0, 0.02))
    return Failed(JobError("SimError", f"execution {said.execution} failed"))


async def _fail_at_length(_job: Job, _log: JobLog, said: Said, _rng: Random) -> Outcome:
    """Says more than is kept."""
    words = f"execution {said.execution} failed "
    return Failed(JobError("SimError", words * (1 + ERROR_MESSAGE_CHARS_MAX // len(words))))


async def _cached(job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    """Its result is long now and then, which is too long for others where bounds are near."""
    await _ok(job, log, said, rng)
    return Succeeded(msgspec.json.encode([said, "x" * rng.choice((0, 0, 200))]))


async def _fail_twice(job: Job, _log: JobLog, said: Said, rng: Random) -> Outcome:
    if job.attempt - job.reaped <= TRIES:
        return await _raise(job, _log, said, rng)
    return _result(said)


async def _retry(job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    log.write(f"attempt {job.attempt}\n")
    if job.attempt <= TRIES:
        return Retried(JobError("SimError", "try again"), rng.uniform(0.0, 1.0))
    return _result(said)


async def _snooze(_job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    log.write(f"execution {said.execution}\n")
    if said.execution <= TRIES:
        return Snoozed(rng.uniform(0.0, 1.0))
    return _result(said)


async def _hang(_job: Job, _log: JobLog, _said: Said, _rng: Random) -> Outcome:
    await trio.sleep_forever()
    raise AssertionError("nothing wakes a job that hangs, but its timeout")


async def _stubborn(_job: Job, _log: JobLog, said: Said, rng: Random) -> Outcome:
    """Ignores cancellation for a while."""
    with trio.CancelScope(shield=True):
        await trio.sleep(rng.uniform(0.1, 2.0))
    return _result(said)


async def _log(_job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    log.write(f"execution {said.execution} of attempt {said.attempt}\n")
    await trio.sleep(rng.uniform(0.0, 0.02))
    return _result(said)


async def _talk(_job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    for line in range(LINES):
        log.write(f"line {line} of execution {said.execution} of attempt {said.attempt}\n")
        await trio.sleep(rng.uniform(0.1, 1.5))
    return _result(said)


async def _climb(job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    """Tells how far it is, step by step; now and then the first attempt ends in the middle."""
    slips = job.attempt == 1 and rng.random() < SLIPS
    for step in range(STEPS + 1):
        if slips and step > STEPS / 2:
            return Retried(JobError("SimError", "slipped"), rng.uniform(0.0, 1.0))
        note = f"{said.execution} {said.attempt} {job.claim}"
        log.progress.tell(Progress(step / STEPS, note))
        await trio.sleep(rng.uniform(0.1, 1.5))
    return _result(said)


async def _label(_job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    """Says in labels who it is; fails now and then, with its labels."""
    log.labels.add(f"execution {said.execution}")
    await trio.sleep(rng.uniform(0.0, 0.3))
    log.labels.add(f"attempt {said.attempt}")
    return await rng.choice((_ok, _ok, _raise, _retry))(_job, log, said, rng)


async def _huge(_job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    log.write("x" * HUGE_CHARS)
    return Succeeded(msgspec.json.encode([said, "x" * rng.choice((0, HUGE_CHARS))]))


async def _poison(_job: Job, _log: JobLog, said: Said, _rng: Random) -> Outcome:
    """A result that PostgreSQL cannot hold."""
    return Succeeded(b'["\\u0000",%s]' % msgspec.json.encode(said))


async def _poison_number(_job: Job, _log: JobLog, said: Said, _rng: Random) -> Outcome:
    """Valid JSON with a number beyond PostgreSQL's."""
    return Succeeded(b"[1e200000,%s]" % msgspec.json.encode(said))


async def _hand_over(_job: Job, _log: JobLog, said: Said, rng: Random) -> Outcome:
    """An effect in a table of its user's, to be committed with the job; one that fails has none.

    It comes as from a process of its own.
    """
    await trio.sleep(rng.uniform(0.0, 0.02))
    handed = read(written([effect(*msgspec.structs.astuple(said))]).encode())
    failed = rng.random() < FAILS_AFTER_ALL
    return handing_over(await _raise(_job, _log, said, rng) if failed else _result(said), handed)


async def _hand_over_refused(_job: Job, _log: JobLog, said: Said, _rng: Random) -> Outcome:
    """The second of these its table does not take."""
    handed = (effect(*msgspec.structs.astuple(said)), effect(said.job, said.attempt, REFUSED))
    return Succeeded(msgspec.json.encode(said), handed)


async def _cancel_itself(_job: Job, _log: JobLog, _said: Said, _rng: Random) -> Outcome:
    return Cancelled("the job cancelled itself")


async def _again(job: Job, log: JobLog, said: Said, rng: Random) -> Outcome:
    """Its job restarts, now and then after a long run; most of the time it has had enough."""
    if rng.random() < ENOUGH:
        return Cancelled("the job has had enough")
    return await rng.choice((_ok, _raise, _longer))(job, log, said, rng)


async def _recover(_job: Job, _log: JobLog, said: Said, rng: Random) -> Outcome:
    """Its flow ends well after all."""
    await trio.sleep(rng.uniform(0.0, 0.02))
    return Succeeded(msgspec.json.encode({"recover": True, "by": said}))


async def _call(job: Job, log: JobLog, _said: Said, _rng: Random) -> Outcome:
    return await call(job, log)


BODIES: Final[Mapping[str, Body]] = {
    "ok": _ok,
    "slow": _slow,
    LONG: _long,
    "raise": _raise,
    "retry": _retry,
    "snooze": _snooze,
    "hang": _hang,
    "stubborn": _stubborn,
    "log": _log,
    "talk": _talk,
    CLIMB: _climb,
    "label": _label,
    CACHED: _cached,
    "fail at length": _fail_at_length,
    "huge": _huge,
    "poison": _poison,
    "poison number": _poison_number,
    "cancel itself": _cancel_itself,
    "again": _again,
    HANDS_OVER: _hand_over,
    "hand over, refused": _hand_over_refused,
    DEADLY: _ok,
    RECOVER: _recover,
    **dict.fromkeys(CALLS, _call),
    **dict.fromkeys((*POLICIES, *DRAWN), _raise),
    TWICE: _fail_twice,
    "hang again": _hang,
    "hang until the deadline": _hang,
}
TIMEOUTS_S: Final = {
    "hang": 0.5, "stubborn": 5.0, "hang again": 0.5, "hang until the deadline": 4.0,
}  # fmt: skip
"""Bodies whose jobs have a timeout."""
