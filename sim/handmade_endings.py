"""Breaches of what is promised of ended jobs, and of who follows them, each as small as can be."""

from collections.abc import Callable
from typing import Final

from sim.database.rows import LogRow
from sim.handmade import CLIENT, RESULT, A, Handmade, job
from sim.happenings import LogFollowed, RequeueAnswered, RequeueAsked
from sim.oracles import Oracle
from sim.oracles.endings import Deleted, Labelled, SecondChance
from sim.oracles.following import HeardOut
from trioworker.model.outcome import Failed, JobError

BOOM: Final = Failed(JobError("Error", "no"))
ERROR: Final = '{"name":"Error","message":"no"}'


def ended(made: Handmade, *, options: str | None = None, failed: bool = False) -> None:
    """A job is run and ends."""
    made.begin()
    made.enqueue(1, options=options)
    made.pull(1)
    made.start(1)
    if failed:
        made.end(1, outcome=BOOM)
        made.store(1, status="failure", result=None, error=ERROR)
    else:
        made.end(1)
        made.store(1, result=RESULT.decode())


def unlabelled(made: Handmade) -> None:
    """A job ends without the label that it was enqueued with."""
    ended(made, options='{"labels": ["red"]}')


def deleted_at_once(made: Handmade) -> None:
    """A job that nobody wanted deleted is gone."""
    ended(made)
    row = made.completed(1)
    made.commit(A, (made.jobs[job(1)], None), (row, None))


def again_unasked(made: Handmade) -> None:
    """A job is ready once more, and nobody had asked for that."""
    ended(made, failed=True)
    made.run_once_more(1)


def promised_in_vain(made: Handmade) -> None:
    """A client is told that a job will be run once more, and it will not."""
    ended(made, failed=True)
    made.say(CLIENT, RequeueAsked(jobs=[job(1)]))
    made.say(CLIENT, RequeueAnswered(ready=[job(1)], kept_out=[]))


def second_chance(made: Handmade) -> None:
    """A job is run once more, as somebody has asked, and the answer says so."""
    ended(made, failed=True)
    made.say(CLIENT, RequeueAsked(jobs=[job(1)]))
    made.run_once_more(1)
    made.say(CLIENT, RequeueAnswered(ready=[job(1)], kept_out=[]))


def not_heard(made: Handmade) -> None:
    """Somebody follows a job to its end and has not heard what it wrote."""
    made.begin()
    made.enqueue(1)
    made.pull(1)
    made.start(1)
    made.end(1, log="something")
    log = LogRow(id=job(1), attempt=1, chunk=0, text="something")
    made.commit(A, *made.leave(1), (None, made.completed(1)), (None, log))
    made.say(CLIENT, LogFollowed(job=job(1)))


ENDING_BREACHES: Final[dict[type[Oracle], Callable[[Handmade], None]]] = {
    Labelled: unlabelled,
    Deleted: deleted_at_once,
    SecondChance: again_unasked,
    HeardOut: not_heard,
}
"""For each oracle the smallest trace that it must find something in."""
