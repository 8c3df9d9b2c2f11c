"""What an agent and its server say to each other of steps that share a worker; see `wire.py`."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec

from trioworker.store import protocol, wire

FLOWS_MAX: Final = 10_000


class NextDue(msgspec.Struct, frozen=True):
    """See `Store.next_due_s`; `own` as of a pull."""

    worker: UUID
    own: bool = False


class Kept(msgspec.Struct, frozen=True):
    """See `Store.kept_flows`."""

    worker: UUID
    flows: Annotated[Sequence[UUID], msgspec.Meta(max_length=FLOWS_MAX)]


class Flows(msgspec.Struct, frozen=True):
    """Some flows."""

    flows: Sequence[UUID]


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """See the `Stored` of the store."""

    lost: Sequence[UUID]
    handed: Sequence[wire.Batch] = ()
    own: bool = False
    let_go: Sequence[UUID] = ()


def told(stored: protocol.Stored, *, now_s: float) -> Stored:
    """What a server sends of a commit."""
    handed = wire.handed(stored.handed, now_s=now_s)
    return Stored(sorted(stored.lost), tuple(handed), stored.own, tuple(stored.let_go))


def stored(one: Stored, *, now_s: float) -> protocol.Stored:
    """The same as a worker takes it, whose clock says `now_s`."""
    handed = [job for batch in one.handed for job in wire.jobs_of(batch, now_s=now_s)]
    return protocol.Stored({*one.lost}, handed, one.own, one.let_go)
