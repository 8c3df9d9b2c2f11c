"""What jobs ask for their ends: labels, handlers, deletion.

Rule of this file: pure, but for the chance that is handed in. The jobs of a plan that names them
ask for all that the plan has, in turn; those that are drawn for some of it.
"""

from random import Random
from typing import Final

import msgspec

from sim.plan import BY_HAND, Plan
from trioworker.model.job import NewJob
from trioworker.model.options import Handler

DEADLY: Final = "deadly"
LABELS: Final = ("red", "round", "large")
MUTED: Final = 0.15
UNHANDLED: Final = 0.2
DELETED: Final = 0.4


def asking(job: NewJob, plan: Plan, tag: str, number: int) -> NewJob:
    """The job, number so of those that the plan names."""
    if plan.told:
        job = _with(job, **handlers(tag))
    if plan.labels:
        job = _with(job, labels=LABELS[: 1 + number % len(LABELS)])
    if times := plan.delete_after_s:
        job = _with(job, delete_after_s=times[number % len(times)])
    return job


def drawn_asking(job: NewJob, plan: Plan, tag: str, rng: Random) -> NewJob:
    """The job with what chance will have."""
    if plan.told and job.path == DEADLY:
        job = _with(job, **handlers(tag))  # few of them are ever given up
    elif plan.told and rng.random() < plan.told:
        some = {of: how for of, how in handlers(tag).items() if rng.random() > UNHANDLED}
        job = _with(job, muted=rng.random() < MUTED, **some)
    if plan.labels and rng.random() < plan.labels:
        job = _with(job, labels=tuple(rng.sample(LABELS, rng.randrange(1, 4))))
    if plan.delete_after_s and rng.random() < DELETED:
        job = _with(job, delete_after_s=rng.choice(plan.delete_after_s))
    return job


def as_by_hand(job: NewJob) -> NewJob:
    """The job as it is enqueued: with options that cannot be, if it is one of those."""
    if job.path != BY_HAND:
        return job
    options = msgspec.structs.replace(job.options)
    msgspec.structs.force_setattr(options, "timeout_s", -1.0)
    return msgspec.structs.replace(job, options=options)


def handlers(tag: str) -> dict[str, Handler]:
    """All three: that of errors fails itself, to no effect; that of successes has labels."""
    return {
        "on_error": Handler("raise", tag, 7),
        "on_success": Handler("label", tag),
        "on_recovery": Handler("log", tag, -5),
    }


def _with(job: NewJob, **options: object) -> NewJob:
    return msgspec.structs.replace(job, options=msgspec.structs.replace(job.options, **options))
