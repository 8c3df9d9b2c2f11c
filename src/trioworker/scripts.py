"""`client.scripts`: deploy scripts and look at them, from a program on Trio or on asyncio.

Rule of this file: like the client it belongs to, it turns what a user says into what is stored, and
says what is wrong in words a user can act on.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from trioworker.errors import UnknownScript
from trioworker.ids import new_id
from trioworker.looking import bounded_limit, refusing
from trioworker.model.script import Deployed, ScriptVersion, new_script
from trioworker.store.postgres.scripts import PostgresScripts

VERSIONS_SHOWN_MAX: Final = 100


class Scripts:
    """What a program may ask about deployed scripts. All raise `UsageError` and `StoreError`."""

    def __init__(self, scripts: PostgresScripts) -> None:
        self._scripts = scripts

    async def deploy(
        self,
        path: str,
        content: str,
        *,
        language: str | None = None,
        dedicated: bool = False,
        by: str = "",
    ) -> Deployed:
        """Make `content` the script at `path`, for jobs that start from now on.

        Equal content makes no new version. `language` is what the end of the path says, unless
        given. `dedicated` keeps a process for it. What its text requires is installed by a job.
        """
        script = new_script(path, content, language=language, dedicated=dedicated)
        with refusing(f"the script {path!r}"):
            return await self._scripts.deploy(script, job=new_id(), created_by=by)

    async def list(self, limit: int = 1_000) -> Sequence[ScriptVersion]:
        """The newest versions of up to `limit` scripts, by path."""
        return await self._scripts.versions(None, bounded_limit(limit))

    async def versions(self, path: str, limit: int = VERSIONS_SHOWN_MAX) -> Sequence[ScriptVersion]:
        """Up to `limit` versions of a script, the newest first. Raises `UnknownScript`."""
        found = path.isprintable() and await self._scripts.versions(path, bounded_limit(limit))
        if not found:
            raise _unknown(path)
        return found

    async def content(self, path: str, version: int) -> str:
        """The text of a version. Raises `UnknownScript`."""
        found = await self._scripts.script(path, version) if path.isprintable() else None
        if found is None:
            raise _unknown(path, version)
        return found.content

    async def preprocessed(self, job: UUID) -> Any:  # noqa: ANN401 - JSON
        """The arguments that a script has made of the job's own; None when it has not."""
        made = await self._scripts.preprocessed(job)
        return None if made is None else msgspec.json.decode(made)


def _unknown(path: str, version: int | None = None) -> UnknownScript:
    which = "" if version is None else f" version {version} of a"
    return UnknownScript(
        f"there is no{which or ' deployed'} script {path!r}; `trioworker scripts list` shows those"
        " there are"
    )
