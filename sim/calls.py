"""Jobs that are called with arguments, and with such as do not fit.

Rule of this file: the arguments go through the product's own `Signature`, as those of a function of
an `App` do. They are for stories, so that no draw of a seed depends on them.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import trio

from trioworker.errors import InvalidArguments
from trioworker.model.arguments import Signature
from trioworker.model.job import Job
from trioworker.model.outcome import Failed, JobError, Outcome, Succeeded
from trioworker.runners.joblog import JobLog

CALLS: Final[Mapping[str, bytes]] = {
    "call by name": b'{"left": 1, "right": {"by": 2}}',
    "call by position": b"[1]",
    "call with too many": b'[1, {"by": 2}, 3]',
    "call with one missing": b"{}",
    "call with one unknown": b'{"left": 1, "middle": 2}',
    "call with a wrong type": b'{"left": "one"}',
    "call with a wrong type inside": b'{"left": 1, "right": {"by": "two"}}',
    "call with neither": b"3",
}
"""The arguments of each, as they are stored; the last six do not fit."""
LOGGED: Final = "call by name"
"""The job whose function asks for its log."""


def _sum(left: int, right: Mapping[str, int] = {"by": 1}) -> int:
    return left + sum(right.values())


def _logged_sum(log: JobLog, *, left: int, right: Mapping[str, int]) -> int:
    log.write(f"{left} and {right}\n")
    return _sum(left, right)


_SUM: Final = Signature("sum", _sum, context_type=JobLog)
_LOGGED_SUM: Final = Signature("logged sum", _logged_sum, context_type=JobLog)


async def call(job: Job, log: JobLog) -> Outcome:
    """What the call of such a job comes to."""
    await trio.lowlevel.checkpoint()
    signature = _LOGGED_SUM if job.path == LOGGED else _SUM
    try:
        bound = signature.bind(job.args, log if signature.wants_context else None)
    except InvalidArguments as error:
        return Failed(JobError(type(error).__name__, str(error)))
    return Succeeded(msgspec.json.encode(bound()))
