"""Traces of retries, made by hand: one that is right, and the smallest ones that are not."""

from datetime import timedelta

from sim.handmade import CLIENT, Handmade, job
from sim.happenings import CancelAnswered, CancelAsked
from trioworker.model.outcome import Failed, JobError


def failing(made: Handmade, options: str | None) -> None:
    """A job fails."""
    made.begin()
    made.enqueue(1, options=options)
    made.pull(1)
    made.start(1)
    made.end(1, outcome=Failed(JobError("Error", "no")))


def once_too_often(made: Handmade) -> None:
    """A job has had the one attempt that it may have, and is ready for another."""
    failing(made, '{"retry":{"attempts":1,"delay_s":0.0}}')
    made.retry(1)


def off_record(made: Handmade) -> None:
    """A job is ready for its second attempt, and nothing is known of its first."""
    failing(made, '{"retry":{"attempts":3,"delay_s":0.0}}')
    made.retry(1, kept=False)


def too_late(made: Handmade) -> None:
    """A job is claimed after its deadline, and begins."""
    made.begin()
    made.enqueue(1, options='{"deadline":"2020-01-01T00:00:00Z"}')
    made.pull(1)
    made.start(1)


def tried(made: Handmade) -> None:
    """A job is tried again as its policy says, and by its deadline."""
    deadline = (made.clock + timedelta(seconds=60)).isoformat()
    failing(
        made, f'{{"retry":{{"attempts":2,"delay_s":1.0,"jitter":0.0}},"deadline":"{deadline}"}}'
    )
    made.retry(1, delay_s=1.0)
    made.wait(1)
    made.pull(1)
    made.start(1, attempt=2)
    made.end(1, outcome=Failed(JobError("Error", "no")), attempt=2)
    error = '{"name":"Error","message":"attempt 2 of 2: no"}'
    made.store(1, status="failure", result=None, error=error, attempt=2)


def one_too_soon(made: Handmade) -> None:
    """The next attempt is due before the pause of the policy is over."""
    failing(made, '{"retry":{"attempts":3,"delay_s":1.0,"jitter":0.1}}')
    made.retry(1, delay_s=0.8)


def past_its_deadline(made: Handmade) -> None:
    """A body goes on for a second after the deadline."""
    deadline = (made.clock + timedelta(seconds=2)).isoformat()
    made.begin()
    made.enqueue(1, options=f'{{"deadline":"{deadline}"}}')
    made.pull(1)
    made.start(1)
    made.wait(3)
    made.end(1)


def childs_cancel_forgotten(made: Handmade) -> None:
    """A client cancels a job, is answered, and the job's child is as ready as before."""
    made.enqueue(1)
    made.enqueue(2, parent=job(1))
    made.say(CLIENT, CancelAsked(jobs=[job(1)]))
    ended = made.completed(1, None, status="canceled")
    made.commit(CLIENT, (made.ready.pop(job(1)), None), (None, ended))
    made.say(CLIENT, CancelAnswered(ended=[job(1)], asked=[]))


def stored_and_told_lost(made: Handmade) -> None:
    """A retry is stored, its worker does not see it, and says in the end that it is lost."""
    failing(made, '{"retry":{"attempts":3,"delay_s":1.0,"jitter":0.0}}')
    made.retry(1, delay_s=1.0, told=False)
    made.say_stored(1, lost=[1])
