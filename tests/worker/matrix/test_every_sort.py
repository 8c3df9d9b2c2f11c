"""Every sort of job, at every end, in every mode: the same rows, and those that were meant."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import psycopg
import pytest
import trio

from tests.database_fixtures import NEWEST, PostgresServer, fresh_database
from tests.store.postgres.reuse import Databases
from tests.worker.harness import open_rig
from tests.worker.matrix.ends import ENDS, FELL_BACK, End
from tests.worker.matrix.rows import Reader
from tests.worker.matrix.scene import EFFECT, WAYS, Way, open_scene
from tests.worker.matrix.sorts import SORTS, Sort
from trioworker.events import BatchPulled, CommitFailed, Event, OutcomeRefused
from trioworker.model.batching import BatchPolicy

FULL_BATCHES = WAYS[0]


class Left(NamedTuple):
    """What a worker has left behind that had all sorts of jobs, and what it said."""

    rows: Reader
    events: Sequence[Event]


Run = Callable[[Way, End], Left]


@pytest.fixture(scope="module")
def run(
    postgres_server: PostgresServer, migrated_template_of: Callable[[int], str]
) -> Iterator[Run]:
    """Runs jobs of all sorts, once for each way and end: the cells of the matrix only look."""

    @contextmanager
    def database() -> Iterator[str]:
        with fresh_database(postgres_server, migrated_template_of(NEWEST)) as url:
            with psycopg.connect(url) as connection:
                connection.execute(EFFECT)
            yield url

    databases = Databases(database)

    @cache
    def run_once(way: Way, end: End) -> Left | Exception:
        try:
            with databases.lend() as url:
                return trio.run(_run, url, way, end)
        except Exception as error:  # noqa: BLE001 - raised again by each of its cells
            return error

    def left(way: Way, end: End) -> Left:
        # What fails must not be tried by hundreds of cells one after the other.
        found = run_once(way, end)
        if isinstance(found, Exception):
            raise found
        return found

    yield left
    databases.close()


async def _run(url: str, way: Way, end: End) -> Left:
    async with open_rig(url) as rig, open_scene(rig, way) as scene:
        for sort in SORTS:
            await scene.enqueue(sort, end.how, out_of_time=end.out_of_time)
        scene.make_due()
        await end.bring_about(scene)
        return Left(Reader(scene), rig.events)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: sort.name)
def test_what_is_stored(run: Run, sort: Sort, end: End, way: Way) -> None:
    """It is what the sort says of this end, and in every column what a full batch stores."""
    found = run(way, end).rows
    assert found.words(sort.name) == end.words(sort)
    assert found.rows(sort.name) == run(FULL_BATCHES, end).rows.rows(sort.name)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_shares_the_commit_that_falls_back(run: Run, way: Way) -> None:
    """All that was pulled with the poison, or all of it that is simple, or the poison alone."""
    events = run(way, FELL_BACK).events
    pulled = next(len(event.jobs) for event in events if isinstance(event, BatchPulled))
    sizes = [event.size for event in events if isinstance(event, CommitFailed)]
    if not way.mode.batches:
        assert (pulled, sizes) == (1, [1])
        return
    whole, alone = sizes
    assert alone == 1
    # The job that has its end stored before all others is in no batch with them.
    assert whole == pulled - 1 if way.policy is BatchPolicy.FULL else 1 < whole < pulled - 1
    assert sum(isinstance(event, OutcomeRefused) for event in events) == 1
