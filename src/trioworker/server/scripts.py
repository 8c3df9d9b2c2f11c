"""Deployed scripts over HTTP: deploy them, and look at them.

Rule of this file: as in `jobs.py`, it decides nothing.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from trioworker.client import Client
from trioworker.model.script import Deployed, Language, ScriptVersion
from trioworker.server import shapes
from trioworker.server.app import answer
from trioworker.server.jobs import CREATED_BY
from trioworker.server.operations import Asked, Operation

Content = Annotated[str, Meta(pattern=r"^[^\x00]*$")]


class NewScriptRequest(shapes.Request, frozen=True, kw_only=True):
    """A script to be deployed; its `language` is what the end of `path` says, unless given.

    `dedicated` runs its jobs in a process that is kept. Its text says what it requires.
    """

    path: shapes.Path
    content: Content
    language: Language | None = None
    dedicated: bool = False


class ScriptsQuery(shapes.Request, frozen=True, kw_only=True):
    """Which: all versions of one script, or the newest of each."""

    path: shapes.Path | UnsetType = UNSET
    limit: shapes.Limited = 50


class Scripts(msgspec.Struct, frozen=True, kw_only=True):
    """Versions of deployed scripts, by path, the newest first; without their texts."""

    scripts: Sequence[ScriptVersion]


class ScriptsApi:
    """The operations on deployed scripts."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def operations(self) -> Sequence[Operation]:
        """All of them."""
        return (
            Operation(
                method="POST",
                path="/api/scripts",
                summary="Deploy a script",
                run=self._deploy,
                body=NewScriptRequest,
                reply=Deployed,
                statuses={201: "it is a new version", 200: "it is equal to the newest version"},
            ),
            Operation(
                method="GET",
                path="/api/scripts",
                summary="Deployed scripts, by path",
                run=self._list,
                query=ScriptsQuery,
                reply=Scripts,
                errors=(404,),
            ),
        )

    async def _deploy(self, asked: Asked) -> Response:
        wanted: NewScriptRequest = asked.body
        done = await self._client.scripts.deploy(
            wanted.path,
            wanted.content,
            language=wanted.language,
            dedicated=wanted.dedicated,
            by=CREATED_BY,
        )
        return answer(done, 201 if done.new else 200)

    async def _list(self, asked: Asked) -> object:
        query: ScriptsQuery = asked.query
        if isinstance(query.path, UnsetType):
            return Scripts(scripts=await self._client.scripts.list(query.limit))
        return Scripts(scripts=await self._client.scripts.versions(query.path, query.limit))
