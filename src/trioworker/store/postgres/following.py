"""Following what a job writes, live, until it has ended.

Rule of this file: as in `waits.py`, looking makes it true. Nobody is told of new lines: they are
asked for, more seldom the longer there are none.
"""

from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

import anyio

from trioworker.errors import ConnectionLost, ServerUnavailable, UnknownJob
from trioworker.model.following import Following
from trioworker.model.planner import Backoff
from trioworker.model.state import JobLogText
from trioworker.store.postgres.jobs import Pieces, PostgresJobs
from trioworker.store.postgres.waits import Waits

LOOK_FIRST_S: Final = 0.1
LOOK_LAST_S: Final = 1.0


async def follow(jobs: PostgresJobs, waits: Waits, job: UUID) -> AsyncGenerator[JobLogText, None]:
    """What the job wrote, as it comes. Raises `UnknownJob` when there is none, or none any more.

    An outage of the database that begins meanwhile is waited out.
    """
    following = Following()
    pauses = Backoff(LOOK_FIRST_S, LOOK_LAST_S)
    found = await jobs.pieces(job, following.attempt, following.chunk)
    with waits.watch(job) as news:
        while found is not None:
            before = following.attempt, following.chunk
            for text in following.news(found.pieces):
                pauses.reset()
                yield text
            began_anew = (following.attempt, following.chunk) < before
            if found.ended and not began_anew:
                return
            if not began_anew:
                with anyio.move_on_after(pauses.next_s()):
                    await news.heard()
            found = await _look(jobs, job, following, pauses)
    raise UnknownJob(f"there is no job {job}")


async def _look(
    jobs: PostgresJobs, job: UUID, following: Following, pauses: Backoff
) -> Pieces | None:
    """What is stored from where the follower stands. What was found before is no news any more."""
    while True:
        try:
            return await jobs.pieces(job, following.attempt, following.chunk)
        except (ConnectionLost, ServerUnavailable):
            await anyio.sleep(pauses.next_s())
