"""Connections: how one is made that suits our statements, directly or through a pooler.

Rule of this file: a pooler in transaction mode (PgBouncer and its like) gives every transaction
another server connection, so nothing may be set for longer than that: settings go with each BEGIN,
no statement is prepared by name, and nobody listens. That there is one is learned from its refusal
of our settings; who made it ignore them has to say so, see docs/deploy.md.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

import asyncpg

from trioworker.errors import StoreError
from trioworker.store.postgres.translation import is_of_pooler, translated

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_TIMEOUT_S: Final = 10.0
GOODBYE_S: Final = 1.0

SETTINGS: Final = {
    "jit": "off",
    # Our statements are shaped so that one plan fits all sizes; planning them anew for each
    # execution would cost more than a batch of one.
    "plan_cache_mode": "force_generic_plan",
    # A plan made while a table was empty reads all of it, and goes on doing so when the table has
    # grown: a burst after a quiet night took 150 ms a pull.
    "enable_seqscan": "off",
}
_BEGIN: Final = (
    "begin; set local jit = off; set local plan_cache_mode = force_generic_plan;"
    " set local enable_seqscan = off; set local synchronous_commit = off"
)
_BEGIN_DURABLE: Final = f"{_BEGIN}; set local synchronous_commit = on"


class Connecting:
    """Makes connections to one address, and remembers whether a pooler is there."""

    def __init__(self, url: str, *, command_timeout_s: float) -> None:
        self._url = url
        self._timeout_s = command_timeout_s
        self.pooled = False

    async def connect(self, name: str, *, durable: bool) -> Connection:
        """A connection that calls itself so. Raises `StoreError`."""
        if not self.pooled:
            try:
                return await self._connect(name, _settings(durable=durable))
            except StoreError as error:
                if not is_of_pooler(error.__cause__):
                    raise
            self.pooled = True
        return await self._connect(name, {}, statement_cache_size=0)

    async def _connect(self, name: str, settings: Mapping[str, str], **more: Any) -> Connection:  # noqa: ANN401 - the driver's
        with translated(connecting=True):
            return await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=self._timeout_s,
                server_settings={"application_name": f"trioworker {name}", **settings},
                **more,
            )

    def begin(self, *, durable: bool) -> str:
        """What begins a transaction: with its settings, where a connection cannot keep them."""
        if not self.pooled:
            return "begin"
        return _BEGIN_DURABLE if durable else _BEGIN


def _settings(*, durable: bool) -> Mapping[str, str]:
    """What our statements want set; with `durable` a COMMIT returns when the WAL is on disk."""
    return {**SETTINGS, "synchronous_commit": "on" if durable else "off"}


async def hang_up(connection: Connection) -> None:
    """Cancel what runs on the server and close the connection; gently for `GOODBYE_S`."""
    with suppress(StoreError), translated():
        await connection.close(timeout=GOODBYE_S)
    connection.terminate()
