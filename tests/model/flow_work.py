"""What becomes of the jobs of steps: the functions of the corpus are called."""

from collections.abc import Mapping
from functools import partial
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import trio

from tests.flows.functions import app
from trioworker.app import JobContext
from trioworker.errors import Cancel, TrioworkerError
from trioworker.model.flow_advance import End
from trioworker.model.flow_decision import Decision, decided, undecided
from trioworker.model.job import NewJob
from trioworker.model.outcome import Cancelled, Failed, JobError, Succeeded
from trioworker.model.retry import settled

Deciding = Mapping[str, list[dict[str, Any]]]
"""What people decide about the approvals, by the names of the steps; without any, time runs out."""


def worked(job: NewJob, deciding: Deciding | None = None) -> End:
    """How the job ends when it is run to its end, all its attempts included."""
    if job.kind == "approval":
        return _decided(job, deciding or {})
    if job.kind == "noop":
        return Succeeded(b"null")
    policy = job.options.policy(None)
    for attempt in count(1):
        end = settled(_attempted(job, attempt), policy, tries=attempt, left_s=None, rng=Random(0))
        if isinstance(end, End):
            return end
    raise AssertionError(job)


def _attempted(job: NewJob, attempt: int) -> End:
    context = JobContext(id=UUID(int=0), attempt=attempt, tag=job.tag, log=lambda _line: None)
    try:
        app.validate(job.path, job.args)
        call = app.jobs[job.path].signature.bind(job.args, context)  # type: ignore[union-attr]  # none is chunked
        return Succeeded(msgspec.json.encode(trio.run(partial(_awaited, call))))
    except Cancel as cancel:
        return Cancelled(str(cancel))
    except (TrioworkerError, Exception) as error:  # noqa: BLE001 - as a runner does
        return Failed(JobError(type(error).__name__, str(error)))


async def _awaited(call: Any) -> Any:  # noqa: ANN401 - of a function of the app
    return await call()


def _decided(job: NewJob, deciding: Deciding) -> End:
    approval, step = job.options.approval, job.options.step
    assert approval is not None
    assert step is not None
    decisions = [msgspec.convert(one, Decision) for one in deciding.get(step.at, [])]
    for number, decision in enumerate(decisions):
        end = decided(approval, decisions[:number], decision)
        if end is not None:
            return end
    return undecided(approval, len(decisions))
