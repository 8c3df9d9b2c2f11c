"""Hints: a worker that rests hears of new jobs, and misses none whose hint was spared.

Rule of this file: where it matters what comes within a while, the clock stands still meanwhile.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic, sleep
from typing import Any, Final

import psycopg
import pytest
import trio
from trio.testing import MockClock

from tests.client.harness import PATIENCE_S, Held, ask, do, new_job, on_both, working
from tests.worker.harness import Rig
from trioworker import Client, UsageError, open_client
from trioworker.events import Event, WorkerStarted
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.jobs import HINT_EVERY_S
from trioworker.store.postgres.store import WORKER_LANES
from trioworker.worker.supervisor import Stop

LOOKS: Final = 20
"""After so many looks in vain a worker rests for the better part of an hour."""
FOR_EVER_S: Final = 1e9
END: Final = "the end of the hints"


async def soon(condition: Callable[[], object]) -> None:
    """Return when it holds; fails the test when it does not, even while the clock stands still."""
    given_up_s = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < given_up_s
        await trio.to_thread.run_sync(sleep, 0.005)


@dataclass(frozen=True)
class Scene:
    """A worker that rests, a client, and somebody else who hears the hints.

    The clock of all of them stands still until `go_on`.
    """

    clock: MockClock
    rig: Rig
    client: Client
    listener: psycopg.Connection

    def go_on(self) -> None:
        """Let time pass as it does."""
        self.clock.rate = 1

    def heard(self) -> list[str]:
        """The hints since the last time."""
        notify(self.rig.url, "trioworker_ready", END)
        hints = []
        for note in self.listener.notifies(timeout=PATIENCE_S):
            if note.payload == END:
                break
            hints.append(note.payload)
        return hints

    def looks(self) -> int:
        """How often the worker has looked for jobs."""
        return len(self.rig.statements("pull"))


def by_hand(test: Callable[[Scene], Awaitable[None]]) -> Callable[[str], None]:
    """The test, played on a scene of its own."""

    def played(database_url: str) -> None:
        clock = MockClock(rate=1)

        async def program() -> None:
            async with (
                resting_worker(database_url, clock) as rig,
                open_client(database_url) as client,
            ):
                with psycopg.connect(database_url, autocommit=True) as listener:
                    listener.execute("listen trioworker_ready")
                    await test(Scene(clock, rig, client, listener))

        trio.run(program, clock=clock)

    played.__doc__ = test.__doc__
    return played


@asynccontextmanager
async def resting_worker(url: str, clock: MockClock) -> AsyncIterator[Rig]:
    """A worker that has been idle for so long that only a hint wakes it within the hour."""
    stop, events = Stop(), list[Event]()
    rests: dict[str, Any] = dict.fromkeys(("poll_s", "heartbeat_s", "sweep_s"), FOR_EVER_S)
    async with (
        open_database(
            url, WORKER_LANES, emit=events.append, command_timeout_s=FOR_EVER_S
        ) as database,
        trio.open_nursery() as nursery,
    ):
        rig = Rig(url, database, events)
        nursery.start_soon(partial(rig.work, stop=stop, lease_s=3 * FOR_EVER_S, **rests))
        # All of its lines stand, before time runs out for those who connect.
        await soon(lambda: rig.statements("sweep_cancels") and rig.statements("pull"))
        await soon(lambda: is_heard_by(rig))
        clock.rate = 10_000
        await soon(lambda: len(rig.statements("pull")) >= LOOKS)
        clock.rate = 0
        yield rig
        clock.rate = 1
        stop.ask()


def is_heard_by(rig: Rig) -> bool:
    """Whether the worker listens: it looks for cancellations when it is told to."""
    notify(rig.url, "trioworker_cancel", str(rig.said(WorkerStarted)[0].worker))
    return bool(rig.statements("cancels_for_worker"))


@by_hand
async def test_a_hint_wakes_a_worker(scene: Scene) -> None:
    """The first job after a long time is begun without a pause."""
    job = await scene.client.enqueue("test")
    await soon(lambda: scene.rig.runner.executions[job])


@by_hand
async def test_one_hint_is_enough_for_jobs_that_follow_closely(scene: Scene) -> None:
    """A worker that found something looks once more, after as long as hints are spared."""
    first = await scene.client.enqueue("test")
    await soon(lambda: scene.rig.counts()["completed"])
    second = await scene.client.enqueue("test")
    assert scene.heard() == ["default"]
    scene.go_on()
    await soon(lambda: scene.rig.runner.executions == {first: 1, second: 1})


@by_hand
async def test_a_hint_in_vain_is_followed_by_looks_as_well(scene: Scene) -> None:
    """The hint was for a job that is not due yet; the job behind it is found all the same."""
    looks = scene.looks()
    later = await scene.client.enqueue("test", delay_s=3600)
    await soon(lambda: scene.looks() > looks)
    now = await scene.client.enqueue("test")
    assert scene.heard() == ["default"]
    scene.go_on()
    await soon(lambda: scene.rig.runner.executions == {now: 1})
    assert (await scene.client.job(later)).state == "scheduled"


@by_hand
async def test_a_hint_that_comes_during_a_look_is_followed_by_another(scene: Scene) -> None:
    """What was committed a moment after the look began would wait for the next one."""
    worker = scene.rig.said(WorkerStarted)[0].worker
    with psycopg.connect(scene.rig.url) as other:
        other.execute("lock table trioworker.ready")
        notify(scene.rig.url, "trioworker_ready", "default")
        await soon(lambda: waits_for_a_lock(scene.rig.url))
        beats = len(scene.rig.statements("heartbeat"))
        notify(scene.rig.url, "trioworker_ready", "default")
        # The line keeps the order: once this one was heard, the other one was, too.
        notify(scene.rig.url, "trioworker_cancel", str(worker))
        await soon(lambda: len(scene.rig.statements("heartbeat")) > beats)
        looks = scene.looks()
    await soon(lambda: scene.looks() >= looks + 2)


@by_hand
async def test_a_cancellation_during_a_heartbeat_is_followed_by_another(scene: Scene) -> None:
    """What was requested after that one had looked would wait until the next one is due."""
    worker = str(scene.rig.said(WorkerStarted)[0].worker)
    with psycopg.connect(scene.rig.url) as other:
        other.execute("select from trioworker.worker for update")
        notify(scene.rig.url, "trioworker_cancel", worker)
        await soon(lambda: waits_for_a_lock(scene.rig.url))
        looks = scene.looks()
        notify(scene.rig.url, "trioworker_cancel", worker)
        # The line keeps the order: once this one was heard, the other one was, too.
        notify(scene.rig.url, "trioworker_ready", "default")
        await soon(lambda: scene.looks() > looks)
        beats = len(scene.rig.statements("cancels_for_worker"))
    await soon(lambda: len(scene.rig.statements("cancels_for_worker")) >= beats + 2)


@by_hand
async def test_hints_are_sent_again_after_a_while(scene: Scene) -> None:
    """One for each tag and each while, however many jobs."""
    await scene.client.enqueue_many([new_job() for _ in range(100)])
    await scene.client.enqueue("test", tag="mail")
    await scene.client.enqueue("test", tag="mail")
    assert scene.heard() == ["default", "mail"]
    scene.clock.jump(2 * HINT_EVERY_S)
    await scene.client.enqueue_many([new_job() for _ in range(100)])
    assert scene.heard() == ["default"]


@by_hand
async def test_what_was_not_stored_is_no_hint(scene: Scene) -> None:
    """Neither a refused job nor one that exists spares another one its hint, or sends one."""
    with pytest.raises(UsageError):
        await scene.client.enqueue("test", ["a\0b"])
    assert scene.heard() == []
    job = await scene.client.enqueue("test")
    scene.clock.jump(2 * HINT_EVERY_S)
    await scene.client.enqueue("test", id=job)
    assert scene.heard() == ["default"]
    await scene.client.enqueue("test")
    assert scene.heard() == ["default"]


@on_both
async def test_a_stream_of_jobs_is_worked_off(database_url: str) -> None:
    """As fast as they come, from several clients, and the worker looks by itself once a day."""
    async with open_client(database_url) as one, open_client(database_url) as two:
        with working(database_url, Held().app, poll_s=86_400.0):
            jobs = [
                await client.enqueue("greet", awaited=True)
                for _ in range(50)
                for client in (one, two)
            ]
            for job in jobs:
                await one.wait(job, timeout_s=PATIENCE_S)


def notify(url: str, channel: str, payload: str) -> None:
    """Send one notification."""
    do(url, "select pg_notify(%s, %s)", channel, payload)


def waits_for_a_lock(url: str) -> bool:
    """Whether anybody does."""
    return bool(ask(url, "select from pg_locks where not granted"))
