"""Tokens of agents, and the workers that belong to them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import TokenRow


@models("add_token")
async def add_token(
    s: Statement,
    token: UUID,
    group: str,
    tags: Sequence[str],
    ranks: Sequence[int],
    expires_at: datetime | None,
    created_by: str,
) -> Rows:
    """Notes the token."""
    row = TokenRow(
        id=token,
        worker_group=group,
        tags=tuple(tags),
        ranks=tuple(ranks),
        created_at=s.now,
        created_by=created_by,
        expires_at=expires_at,
    )
    await s.insert(s.tables.agent_token, row, do_nothing=True)
    return []


@models("list_tokens")
async def list_tokens(s: Statement, limit: int) -> Rows:
    """The newest tokens, and how many workers have each."""
    newest = sorted(s.rows(s.tables.agent_token), key=lambda row: row.id, reverse=True)
    return [
        (
            row.id,
            row.worker_group,
            row.tags,
            row.ranks,
            _state(row, s.now),
            row.expires_at,
            row.created_at,
            row.created_by,
            row.revoked_at,
            _workers(s, row.id),
        )
        for row in newest[:limit]
    ]


def _state(row: TokenRow, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "valid"


def _workers(s: Statement, token: UUID) -> int:
    ended = ((row.lost_at or row.stopped_at, row.token) for row in s.rows(s.tables.worker))
    return sum(at is None and whose == token for at, whose in ended)


@models("revoke_tokens")
async def revoke_tokens(s: Statement, ids: Sequence[UUID]) -> Rows:
    """Lets tokens count no longer; one that was revoked before keeps its time."""
    held = [await s.lock(s.tables.agent_token, id_) for id_ in sorted(set(ids))]
    revoked = [
        await s.update(
            s.tables.agent_token,
            row.id,
            lambda old: msgspec.structs.replace(old, revoked_at=old.revoked_at or s.now),
        )
        for row in held
        if row is not None
    ]
    return s.shuffled([(row.id,) for row in revoked if row is not None])


@models("token_standing")
async def token_standing(s: Statement, token: UUID) -> Rows:
    """Whether the token was revoked, and the time."""
    row = s.find(s.tables.agent_token, token)
    return [] if row is None else [(row.revoked_at is not None, s.clock())]


@models("token_of_worker")
async def token_of_worker(s: Statement, worker: UUID) -> Rows:
    """The token that the worker belongs to."""
    row = s.find(s.tables.worker, worker)
    return [] if row is None else [(row.token,)]
