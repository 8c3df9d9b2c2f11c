"""How a case gives its account: what was told, what is stored, whether the connection lives on."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from sim.differential.history import BASE, JOBS, TAGS, WORKERS
from sim.differential.lines import LANE, Line, until
from trioworker.errors import ConnectionLost, StoreError

J1: Final = JOBS[0]
W1, W2, *_ = WORKERS
RED: Final = TAGS[0]


class Told(NamedTuple):
    """How a failure looks to the caller.

    Whether a lost line comes with a code is a race within the driver: left out.
    """

    error: str
    ambiguous: bool
    sqlstate: str | None


class Account(NamedTuple):
    """What was told, and whether the connection was used again afterwards."""

    told: object
    reused: bool


async def workers(line: Line) -> object:
    """What is stored of heartbeats."""
    rows = await line.database.run(LANE, "list_workers", 9)
    return [(row[0], row[10]) for row in rows]


async def told(action: Awaitable[object]) -> Told | object:
    """How it failed, or what it gave."""
    try:
        return await action
    except StoreError as error:
        sqlstate = None if isinstance(error, ConnectionLost) else error.sqlstate
        return Told(type(error).__name__, error.ambiguous, sqlstate)


async def account(line: Line, action: Callable[[], Awaitable[object]]) -> Account:
    """Do it on a connection that has been used before, and use the lane once more."""
    worker = (W1, "w", "h", 1, "worker", [RED], [0], 60.0)
    await line.database.run(LANE, "register_worker", *worker)
    before = line.backends()
    found = await told(action())
    await line.database.run(LANE, "clock")
    await until(lambda: len(line.backends()) == 1)
    return Account(found, line.backends() == before)


def one_job(args: str = "{}", priority: int = 0) -> Sequence[object]:
    """The arguments that enqueue a job."""
    columns = (J1, "noop", "path", args, RED, priority, BASE, None, True, "", None)
    return [[value] for value in columns]


BEAT: Final = ("heartbeat", W1, 1, 1, 1)
NUL: Final = '"\\u0000"'
