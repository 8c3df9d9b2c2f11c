"""Jobs that have children and do steps, as a user's function does: through the product's own calls.

Rule of this file: chance is drawn in a step, so that every attempt asks for the same. What a step
does is told when it is done, and what a parent has waited for stands in its result.
"""

from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from trioworker.app import App
from trioworker.context import JobContext
from trioworker.errors import UsageError
from trioworker.model.job import Job
from trioworker.model.outcome import Failed, JobError, Outcome, Succeeded
from trioworker.runners.attempted import Attempted
from trioworker.runners.joblog import JobLog
from trioworker.runners.lines import TrioLine

PARENT: Final = "parent"
"""It waits for all of its children, one after the other or all at once."""
LEAVER: Final = "leaver"
"""It fails while it has a child that would never end."""
FAMILIES: Final = (PARENT, LEAVER)
FOR_EVER: Final = "hang"
FOR_EVER_S: Final = 60.0
"""Long after whoever has enqueued it failed."""
CHILDREN: Final = ("ok", "ok", "ok", "slow", "raise", "retry", PARENT)
MANY: Final = (1, 2, 3, 6)
DEPTH_MAX: Final = 2
NOBODY: Final = App()
"""The functions are the simulator's: children say which workers take them."""

Tell = Callable[[str], None]


async def family(job: Job, log: JobLog, said: object, rng: Random, tell: Tell) -> Outcome:
    """What the body of a parent does; `tell` of each step that is done.

    What it asks for may be refused in the end: after failures that nobody can make anything of.
    """
    try:
        return await _family(job, log, said, rng, tell)
    except UsageError as error:
        return Failed(JobError("UsageError", str(error)))


async def _family(job: Job, log: JobLog, said: object, rng: Random, tell: Tell) -> Outcome:
    assert log.workflow is not None
    line = TrioLine(Attempted(NOBODY, job, log.workflow))
    context = JobContext(job.id, job.attempt, job.tag, log.write, line=line)
    calls = context.using(tag=job.tag)
    depth = _depth(job)

    def draw() -> list[str]:
        tell("draw")
        paths = [rng.choice(CHILDREN) for _ in range(rng.choice(MANY))]
        return [path if path != PARENT or depth < DEPTH_MAX else "ok" for path in paths]

    def close() -> int:
        tell("close")
        return len(children)

    drawn = await calls.step("draw", draw)
    children = [await calls.enqueue(path, depth + 1, n) for n, path in enumerate(drawn)]
    if job.path == LEAVER:
        left = context.using(tag=job.tag, timeout_s=FOR_EVER_S)
        await left.enqueue(FOR_EVER, depth + 1, -1)
        return Failed(JobError("SimError", "it leaves its children behind"))
    if len(children) % 2:
        for child in children:
            await calls.gather([child], return_exceptions=True)
    await calls.gather(children, return_exceptions=True)
    await calls.step("close", close)
    return Succeeded(msgspec.json.encode([said, [child.id for child in children]]))


def _depth(job: Job) -> int:
    """How many parents are above it: the first of its arguments, if it is a child."""
    args = msgspec.json.decode(job.args)
    return int(args[0]) if isinstance(args, list) and args else 0
