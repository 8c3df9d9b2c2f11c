"""`PostgresTokens`: the tokens that were made for agents, and the workers that belong to them.

Rule of this file: what is stored says whether a token counts, never what it allows; that is signed.
The text of a token is not stored. Every method raises `StoreError`.
"""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from trioworker.model.agent_token import AgentToken, TokenState
from trioworker.store.postgres.database import Database


class TokenStanding(NamedTuple):
    """Whether a token was revoked, as it was at the time `now` of the database."""

    revoked: bool
    now: datetime


class PostgresTokens:
    """Tokens over one lane of a database."""

    def __init__(self, database: Database, lane: str) -> None:
        self._database = database
        self._lane = lane

    async def now(self) -> datetime:
        """The time by the database's clock, by which tokens expire."""
        rows = await self._database.run(self._lane, "clock")
        now: datetime = rows[0][0]
        return now

    async def add(self, token: AgentToken, *, created_by: str) -> None:
        """Note a new token. May be repeated."""
        await self._database.run(
            self._lane,
            "add_token",
            token.id,
            token.group,
            token.tags.names,
            token.tags.ranks,
            token.expires_at,
            created_by,
        )

    async def newest(self, limit: int) -> Sequence[TokenState]:
        """Up to `limit` tokens, the newest first."""
        rows = await self._database.run(self._lane, "list_tokens", limit)
        return [
            TokenState(**dict(zip(TokenState.__struct_fields__, row, strict=True))) for row in rows
        ]

    async def revoke(self, ids: Collection[UUID]) -> AbstractSet[UUID]:
        """Let these tokens count no longer; returns those that there are."""
        rows = await self._database.run(self._lane, "revoke_tokens", list(ids))
        return {row[0] for row in rows}

    async def standing(self, token: UUID) -> TokenStanding | None:
        """How a token stands; None when none was noted under this id."""
        rows = await self._database.run(self._lane, "token_standing", token)
        return TokenStanding(*rows[0]) if rows else None

    async def has_worker(self, token: UUID, worker: UUID) -> bool:
        """Whether the worker was registered with this token."""
        rows = await self._database.run(self._lane, "token_of_worker", worker)
        return bool(rows) and rows[0][0] == token
