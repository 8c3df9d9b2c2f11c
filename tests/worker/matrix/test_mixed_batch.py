"""A batch of 500 that mixes all sorts, one of which the database refuses."""

from typing import Final

import pytest

from tests.worker.harness import Rig
from tests.worker.matrix.ends import OTHERS
from tests.worker.matrix.functions import How
from tests.worker.matrix.rows import Reader
from tests.worker.matrix.scene import BATCH, WAYS, Gathering, Name, Scene, open_scene
from tests.worker.matrix.sorts import PLAIN, SORTS, Sort
from trioworker.events import CommitFailed, OutcomeRefused
from trioworker.model.batching import Fallback

FULL_BATCHES: Final = WAYS[0]
REFUSED: Final = Name("everything at once", 7, "job")

Copies = list[tuple[Sort, int]]


async def enqueue_a_batch(scene: Scene, how: How) -> Copies:
    """As many jobs of all sorts as one commit takes, the rest of them plain; one ends as said."""
    copies: Copies = []

    async def enqueue(sort: Sort) -> None:
        copy = sum(known is sort for known, _ in copies)
        refused = (sort.name, copy) == (REFUSED.sort, REFUSED.copy)
        await scene.enqueue(sort, how if refused else "return", copy=copy)
        copies.append((sort, copy))

    for sort in SORTS:
        await enqueue(sort)
    of_each = BATCH // scene.rig.counts()["ready"]
    for sort in SORTS * (of_each - 1):
        await enqueue(sort)
    for _ in range(BATCH - scene.rig.counts()["ready"]):
        await enqueue(PLAIN)
    scene.make_due()
    return copies


@pytest.mark.parametrize("how", ["poison", "refused statement"])
@pytest.mark.parametrize("fallback", list(Fallback))
async def test_499_are_stored_with_all_their_effects(
    rig: Rig, fallback: Fallback, how: How
) -> None:
    """And the refused one as a failure that says so, with all that a failure of it leads to."""
    async with open_scene(rig, FULL_BATCHES) as scene:
        copies = await enqueue_a_batch(scene, how)
        await scene.enqueue(PLAIN, "at once", copy=OTHERS, priority=1)
        await scene.drain(Gathering(scene), fallback=fallback)
        stored = Reader(scene)
    # What the statement of the commit itself does not take is not in the log of statements.
    committed = [statement.jobs for statement in rig.statements("commit")]
    assert (BATCH in committed) == (how == "refused statement")
    failures = rig.said(CommitFailed)
    assert (failures[0].size, failures[0].step) == (BATCH, "divide")
    assert failures[1].size == (1 if fallback is Fallback.PER_JOB else BATCH // 2)
    (refusal,) = rig.said(OutcomeRefused)
    assert all(refusal.job in failure.jobs for failure in failures)
    assert scene.names[refusal.job] == REFUSED
    assert {(sort.name, copy): stored.words(sort.name, copy) for sort, copy in copies} == {
        (sort.name, copy): sort.refused if (sort.name, copy) == REFUSED[:2] else sort.success
        for sort, copy in copies
    }
