"""What is known of attempts before they have ended.

Rule of this file: pure. It is stored now and then for all of them at once, and to store it late, or
not at all, costs nothing but lateness.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from trioworker.model.job import Job, claims_of
from trioworker.model.progress import Progress


class Said(msgspec.Struct, frozen=True):
    """The piece `chunk` of the log of a running attempt, as far as it goes; empty for none.

    And its `progress`, if it has told any since that was stored last.
    """

    job: Job
    chunk: int
    text: str
    progress: Progress | None = None


class SaidColumns(NamedTuple):
    """What running attempts have said, in the order of the statement's parameters."""

    claims: Sequence[UUID]
    ids: Sequence[UUID]
    attempts: Sequence[int]
    chunks: Sequence[int]
    texts: Sequence[str]
    fractions: Sequence[float | None]
    notes: Sequence[str | None]


def said_columns(said: Sequence[Said]) -> SaidColumns:
    """One set of columns for all of it. No attempt may come twice."""
    told = [one.progress for one in said]
    return SaidColumns(
        claims=claims_of(one.job for one in said),
        ids=[one.job.id for one in said],
        attempts=[one.job.attempt for one in said],
        chunks=[one.chunk for one in said],
        texts=[one.text for one in said],
        fractions=[None if one is None else one.fraction for one in told],
        notes=[None if one is None else one.note for one in told],
    )
