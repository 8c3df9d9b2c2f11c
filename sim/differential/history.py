"""A history: how the tables were at first, and what a few sessions do one after the other.

Rules of this file:

* A history is data that both sides read. Ids come from a small pool, so that sessions meet; times
  are hours from `BASE`, which each side puts in the place of its own beginning.
* Any list of steps is a history: a step that makes no sense where it stands (a commit without a
  transaction, anything for a session that still waits) is left out by both sides, so that
  Hypothesis can shrink by leaving out steps.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from sim.database.rows import MigrationRow, Row
from sim.database.server import EPOCH
from trioworker.store.postgres.migrate import load_migrations

BASE: Final = EPOCH
HOUR_S: Final = 3600
HOUR: Final = timedelta(hours=1)

BEGIN: Final = "begin"
COMMIT: Final = "commit work"
ROLLBACK: Final = "rollback"
KILL: Final = "kill"
BOUNDARIES: Final = (BEGIN, COMMIT, ROLLBACK)
CHANNELS: Final = ("trioworker_ready", "trioworker_cancel", "trioworker_done")

SESSIONS_MAX: Final = 4


def _ids(kind: int, count: int) -> tuple[UUID, ...]:
    return tuple(UUID(int=(kind << 96) + number) for number in range(1, count + 1))


JOBS: Final = _ids(0xA, 6)
CLAIMS: Final = _ids(0xC, 6)
WORKERS: Final = _ids(0xE, 4)
TOKENS: Final = _ids(0xD, 3)
TAGS: Final = ("red", "blue")
KEYS: Final = ("k", "l")
PRIORITIES: Final = (0, 10, -5)
SCHEDULES: Final = ("nightly", "hourly", "yearly")

NAMES: Final = {
    id_: f"{letter}{number}"
    for letter, ids in (("J", JOBS), ("C", CLAIMS), ("W", WORKERS), ("T", TOKENS))
    for number, id_ in enumerate(ids, start=1)
}


class Step(msgspec.Struct, frozen=True):
    """One session does one thing: begins, commits, rolls back, is killed, or runs a named query."""

    session: int
    what: str
    arguments: tuple[object, ...] = ()


class History(msgspec.Struct, frozen=True):
    """What both sides play. `scene` are the rows at the beginning, by table."""

    scene: "Scene"
    steps: Sequence[Step]


Scene: TypeAlias = Mapping[str, Sequence[Row]]

MIGRATIONS: Final[Sequence[Row]] = [
    MigrationRow(number=migration.number, name=migration.name, applied_at=BASE - 200 * HOUR)
    for migration in load_migrations()
]
"""The one table that is never empty."""


def ending(sessions: int = SESSIONS_MAX) -> Sequence[Step]:
    """Steps that leave no transaction open, however the sessions wait for each other."""
    return [Step(session, COMMIT) for _ in range(sessions) for session in range(sessions)]


def after(base: datetime, value: object) -> object:
    """`value`, with times after `BASE` turned into times after `base`."""
    if isinstance(value, datetime):
        return value - BASE + base
    if isinstance(value, list | tuple):
        return type(value)(after(base, each) for each in value)
    return value
