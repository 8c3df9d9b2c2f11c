"""Mutants of following a log: what is not heard, and what is heard twice."""

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import anyio

from sim.oracles.following import HeardOut
from sim.plan import Plan, Sizes
from sim.replace import replaced
from sim.zoo.mutant import OURS, mutant
from trioworker.errors import ConnectionLost, ServerUnavailable
from trioworker.model.following import Following, Piece
from trioworker.model.planner import Backoff
from trioworker.model.state import JobLogText
from trioworker.store.postgres import following
from trioworker.store.postgres.jobs import Pieces, PostgresJobs

NOTHING: Final = Pieces(ended=False, pieces=())
HEARD: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, jobs=10),
    bodies={"snooze": 1.0, "talk": 1.0},
    followers=10,
    enqueue_s=0.0,
    chaos_s=6.0,
)
"""Somebody follows each of ten jobs."""
STORED_TWICE: Final = Plan(
    seed=0,
    sizes=Sizes(workers=1, jobs=20, command_timeout_s=1.0),
    bodies={"talk": 1.0},
    followers=20,
    faults={"line lost after the effect": 0.06},
    enqueue_s=0.0,
    chaos_s=12.0,
)
"""The same, and what is written is stored more than once, because replies are lost."""


@mutant("written anew, never heard", caught_by=HeardOut, seen_in=OURS, plan=HEARD)
def written_anew_never_heard() -> Iterator[None]:
    """A run writes its log anew and ends; who follows it waits for a look that never comes."""
    news = Following.news

    def later(self: Following, pieces: Sequence[Piece]) -> Iterator[JobLogText]:
        if self._seen and not any(self._continues(piece) for piece in pieces):
            self.chunk, self._seen = 0, ""
            return
        yield from news(self, pieces)

    with replaced(Following, "news", later):
        yield


@mutant("news of the look before", caught_by=HeardOut, seen_in=OURS, plan=STORED_TWICE)
def news_of_the_look_before() -> Iterator[None]:
    """Whoever follows a log loses his line, and is shown once more what he saw last."""
    before: dict[UUID, Pieces | None] = {}

    async def stale(
        jobs: PostgresJobs, job: UUID, seen: Following, pauses: Backoff
    ) -> Pieces | None:
        try:
            before[job] = await jobs.pieces(job, seen.attempt, seen.chunk)
        except (ConnectionLost, ServerUnavailable):
            await anyio.sleep(pauses.next_s())
        return before.get(job, NOTHING)

    with replaced(following, "_look", stale):
        yield


@mutant("growth heard from its beginning", caught_by=HeardOut, plan=STORED_TWICE)
def growth_heard_from_its_beginning() -> Iterator[None]:
    """Of a piece that has grown all is shown once more."""

    def all_of_it(self: Following, pieces: Sequence[Piece]) -> Iterator[JobLogText]:
        for piece in pieces:
            is_known = self._continues(piece) and piece.text == self._seen
            self.attempt, self.chunk, self._seen = piece
            if not is_known:
                yield JobLogText(piece.attempt, piece.text)

    with replaced(Following, "news", all_of_it):
        yield
