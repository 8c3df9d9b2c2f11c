"""`PostgresScripts`: what people and workers do with deployed scripts.

Rule of this file: like `jobs.py` it knows which statements make a transaction, and nothing of
connections or retries. Every method raises `StoreError`.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from trioworker.model.job import NewJob
from trioworker.model.options import JobOptions
from trioworker.model.script import (
    DEPENDENCIES,
    INSTALL_TIMEOUT_S,
    Deployed,
    NewScript,
    ScriptHead,
    ScriptVersion,
    StoredScript,
    install_args,
)
from trioworker.store.postgres.database import Database, Row, Transaction
from trioworker.store.postgres.enqueue import enqueue

_names: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class PostgresScripts:
    """Deployed scripts over one lane of a database."""

    def __init__(self, database: Database, lane: str) -> None:
        self._database = database
        self._lane = lane

    async def deploy(self, script: NewScript, *, job: UUID, created_by: str) -> Deployed:
        """Make the script the version that counts, unless it is that already.

        What it requires is installed by the job `job`, if a new version needs one. Who requires the
        same as the version before keeps to its lock, and needs none.
        """

        async def body(tx: Transaction) -> Deployed:
            version, new, locked = await _store(tx, script, created_by)
            if not new or locked or not script.requirements:
                return Deployed(path=script.path, version=version, new=new)
            await enqueue(tx, [_installing(script.path, version, job, created_by)])
            await tx.run("notify_ready", [DEPENDENCIES])
            return Deployed(path=script.path, version=version, new=new, dependencies=job)

        return await self._database.transact(self._lane, body)

    async def versions(self, path: str | None, limit: int) -> Sequence[ScriptVersion]:
        """All versions of a script, the newest first; for None the newest of each, by path."""
        rows = await self._database.run(self._lane, "list_scripts", path, limit)
        return [_version(row) for row in rows]

    async def newest_scripts(self, paths: Sequence[str]) -> Mapping[str, ScriptHead]:
        """See `Store.newest_scripts`."""
        rows = await self._database.run(self._lane, "newest_scripts", paths)
        return {row[0]: _head(row) for row in rows}

    async def script(self, path: str, version: int) -> StoredScript | None:
        """See `Store.script`."""
        rows = await self._database.run(self._lane, "read_script", path, version)
        return StoredScript(_head(rows[0][:-1]), rows[0][-1]) if rows else None

    async def preprocessed(self, job: UUID) -> str | None:
        """The arguments that a script has made of the job's, as JSON; None when it has not."""
        rows = await self._database.run(self._lane, "preprocessed_args", job)
        return rows[0][0] if rows else None


async def _store(tx: Transaction, script: NewScript, created_by: str) -> tuple[int, bool, bool]:
    """The version that counts, whether it is new, and whether its lock is known."""
    requirements = msgspec.json.encode(script.requirements).decode()
    columns = (script.hash, script.language, script.dedicated, script.content, requirements)
    while True:
        rows = await tx.run("deploy_script", script.path, *columns, created_by)
        if rows:
            version, locked = rows[0]
            return version, True, locked
        # It is equal to the newest, or somebody was quicker with another: then once more.
        (newest,) = map(_head, await tx.run("newest_scripts", [script.path]))
        if newest.hash == script.hash:
            return newest.version, False, newest.lock is not None


def _installing(path: str, version: int, job: UUID, created_by: str) -> NewJob:
    return NewJob(
        id=job,
        kind=DEPENDENCIES,
        path=path,
        args=install_args(version),
        tag=DEPENDENCIES,
        options=JobOptions(timeout_s=INSTALL_TIMEOUT_S),
        awaited=True,
        created_by=created_by,
    )


def _head(row: Row) -> ScriptHead:
    path, version, hash_, language, dedicated, requirements, lock = row
    return ScriptHead(
        path=path,
        version=version,
        hash=hash_,
        language=language,
        dedicated=dedicated,
        requirements=_names(requirements),
        lock=None if lock is None else _names(lock),
    )


def _version(row: Row) -> ScriptVersion:
    fields = dict(zip(ScriptVersion.__struct_fields__, row, strict=True))
    lock = fields["lock"]
    fields["requirements"] = _names(fields["requirements"])
    fields["lock"] = None if lock is None else _names(lock)
    return ScriptVersion(**fields)
