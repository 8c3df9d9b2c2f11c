"""Connections: how one is made that suits our statements, directly or through a pooler.

Rule of this file: a pooler in transaction mode (PgBouncer and its like) gives every transaction
another server connection, so nothing may be set for longer than that: settings go with each BEGIN,
no statement is prepared by name, and nobody listens. That there is one is learned from its refusal
of our settings; who made it ignore them has to say so, see docs/deploy.md.

Servers of which an address names several are tried one after the other, each with a time of its
own: the driver has one for all, and a dead host that swallows what is sent to it would take it all.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from trioworker.errors import ConnectionLost, ServerUnavailable, StoreError
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
        self._urls = one_server_each(url)
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
        *others, last = self._urls
        for url in others:
            try:
                return await self._connect_to(url, name, settings, **more)
            except (ConnectionLost, ServerUnavailable) as error:
                if is_of_pooler(error.__cause__):
                    raise
        return await self._connect_to(last, name, settings, **more)

    async def _connect_to(
        self,
        url: str,
        name: str,
        settings: Mapping[str, str],
        **more: Any,  # noqa: ANN401 - the driver's
    ) -> Connection:
        with translated(connecting=True):
            return await asyncpg.connect(
                url,
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


def one_server_each(url: str) -> Sequence[str]:
    """The addresses of the servers that `url` names, in order; all else in them is the same."""
    try:
        _, at, hosts = urlsplit(url).netloc.rpartition("@")
    except ValueError:
        return [url]  # the driver says what is wrong with it
    if hosts:
        return [url.replace(f"{at}{hosts}", f"{at}{host}", 1) for host in hosts.split(",")]
    before, _, query = url.partition("?")
    said = dict(parse_qsl(query, keep_blank_values=True))
    named, ports = said.get("host", "").split(","), said.get("port", "").split(",")
    if len(named) == 1 or len(ports) not in {1, len(named)}:
        return [url]
    each = zip(named, ports * len(named) if len(ports) == 1 else ports, strict=True)
    return [
        f"{before}?{urlencode(said | {'host': host} | ({'port': port} if port else {}))}"
        for host, port in each
    ]


def _settings(*, durable: bool) -> Mapping[str, str]:
    """What our statements want set; with `durable` a COMMIT returns when the WAL is on disk."""
    return {**SETTINGS, "synchronous_commit": "on" if durable else "off"}


async def hang_up(connection: Connection) -> None:
    """Cancel what runs on the server and close the connection; gently for `GOODBYE_S`."""
    with suppress(StoreError), translated():
        await connection.close(timeout=GOODBYE_S)
    connection.terminate()
