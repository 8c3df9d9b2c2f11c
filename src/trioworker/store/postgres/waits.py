"""`Waits`: all who wait for jobs to end in this process, served by one line and one look.

Rule of this file: notifications make it quick, looking makes it true. One connection listens for
all and one statement asks about all, so a thousand waits cost what one costs. It tells them only
when a look at their job is worth while; what became of it they ask for themselves.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Final, NoReturn
from uuid import UUID

import anyio

from trioworker.errors import ConnectionLost, ServerUnavailable, StoreError
from trioworker.model.planner import Backoff
from trioworker.store.postgres.database import Database
from trioworker.store.postgres.jobs import PostgresJobs
from trioworker.store.postgres.store import DONE_CHANNEL

LOOK_FIRST_S: Final = 0.02
LOOK_LAST_S: Final = 1.0
LISTEN_FIRST_S: Final = 0.1
LISTEN_LAST_S: Final = 5.0


class News:
    """Something that happens again and again, for one who waits for the next time."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def tell(self) -> None:
        """Wake the one who waits, now or as soon as it waits."""
        self._event.set()

    async def heard(self) -> None:
        """Return when it was told since the last time."""
        await self._event.wait()
        self._event = anyio.Event()


class Waits:
    """The waits of one client; `run` must run beside them."""

    def __init__(self, database: Database, jobs: PostgresJobs) -> None:
        self._database = database
        self._jobs = jobs
        self._waiting: dict[UUID, list[News]] = {}
        self._stirred = News()
        self._pauses = Backoff(LOOK_FIRST_S, LOOK_LAST_S)

    @contextmanager
    def watch(self, job: UUID) -> Iterator[News]:
        """News that the job has ended, or that only a look of one's own can tell why not.

        Look once after this has begun: what ended before is no news.
        """
        news = News()
        self._waiting.setdefault(job, []).append(news)
        self._look_soon()
        try:
            yield news
        finally:
            self._waiting[job].remove(news)
            if not self._waiting[job]:
                del self._waiting[job]

    async def run(self) -> None:
        """Serve until cancelled. Nothing is asked of the database while nobody waits."""
        await self._stirred.heard()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            await self._look_now_and_then()

    async def _listen(self) -> NoReturn:
        """Hear of ended jobs. While the line is down looking alone must do."""
        pauses = Backoff(LISTEN_FIRST_S, LISTEN_LAST_S)

        def heard(channel: str, payload: str) -> None:
            if channel == DONE_CHANNEL:
                self._tell(_as_id(payload))
            else:
                pauses.reset()
                self._look_soon()

        while True:
            try:
                await self._database.listen((DONE_CHANNEL,), heard)
            except StoreError:
                await anyio.sleep(pauses.next_s())

    async def _look_now_and_then(self) -> NoReturn:
        while True:
            # However many waits begin, one look in this time does for all of them.
            await anyio.sleep(LOOK_FIRST_S)
            await self._look()
            with anyio.move_on_after(self._pauses.next_s() if self._waiting else inf):
                await self._stirred.heard()

    async def _look(self) -> None:
        asked = list(self._waiting)
        if not asked:
            return
        try:
            told = await self._jobs.ended(asked)
        except (ConnectionLost, ServerUnavailable):
            return
        except StoreError:
            # Waiting will not mend this: each meets it in a look of its own, and raises it.
            told = set(asked)
        for job in told:
            self._tell(job)

    def _look_soon(self) -> None:
        self._pauses.reset()
        self._stirred.tell()

    def _tell(self, job: UUID | None) -> None:
        for news in self._waiting.get(job, ()) if job else ():
            news.tell()


def _as_id(payload: str) -> UUID | None:
    """The id in a notification; None for what somebody else has sent."""
    try:
        return UUID(payload)
    except ValueError:
        return None
