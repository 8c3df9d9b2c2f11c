"""Deployed scripts, their locks, and what scripts have made of arguments."""

import json
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import msgspec

from sim.database.models import Rows, Statement, models
from sim.database.rows import PreprocessedRow, ScriptRow


@models("deploy_script")
async def deploy_script(
    s: Statement,
    path: str,
    hash_: str,
    language: str,
    dedicated: bool,  # noqa: FBT001 - a query's arguments have no names
    content: str,
    requirements: str,
    created_by: str,
) -> Rows:
    """Stores a version, unless the newest is equal."""
    newest = _newest(s, path)
    if newest is not None and newest.hash == hash_:
        return []
    keeps = (
        newest is not None
        and newest.language == language
        and json.loads(newest.requirements) == json.loads(requirements)
    )
    row = ScriptRow(
        path=path,
        version=(0 if newest is None else newest.version) + 1,
        hash=hash_,
        language=language,
        dedicated=dedicated,
        content=content,
        requirements=requirements,
        lock=newest.lock if newest is not None and keeps else None,
        created_at=s.now,
        created_by=created_by,
    )
    stored = await s.insert(s.tables.script, row, do_nothing=True)
    return [(row.version, row.lock is not None)] if stored else []


def _newest(s: Statement, path: str) -> ScriptRow | None:
    versions = [row for row in s.rows(s.tables.script) if row.path == path]
    return max(versions, key=lambda row: row.version, default=None)


@models("newest_scripts")
async def newest_scripts(s: Statement, paths: Sequence[str]) -> Rows:
    """The newest version of each, without its text."""
    found = [_newest(s, path) for path in paths]
    return s.shuffled([_head(row) for row in found if row is not None])


@models("read_script")
async def read_script(s: Statement, path: str, version: int) -> Rows:
    """A version with its text."""
    row = s.find(s.tables.script, (path, version))
    return [] if row is None else [(*_head(row), row.content)]


def _head(row: ScriptRow) -> tuple[object, ...]:
    return (
        row.path, row.version, row.hash, row.language, row.dedicated, row.requirements, row.lock,
    )  # fmt: skip


@models("list_scripts")
async def list_scripts(s: Statement, path: str | None, limit: int) -> Rows:
    """All versions of one script, or the newest of each."""
    rows = [
        row
        for row in s.rows(s.tables.script)
        if (row == _newest(s, row.path) if path is None else row.path == path)
    ]
    rows.sort(key=lambda row: (row.path, -row.version))
    return [
        (
            row.path, row.version, row.language, row.dedicated, len(row.content.encode()),
            row.hash, row.requirements, row.lock, row.created_at, row.created_by,
        )
        for row in rows[:limit]
    ]  # fmt: skip


@models("store_locks")
async def store_locks(
    s: Statement, paths: Sequence[str], versions: Sequence[int], locks: Sequence[str]
) -> Rows:
    """Notes what versions require, exactly."""
    named = sorted(zip(paths, versions, locks, strict=True))
    held = [
        (path, version, lock)
        for path, version, lock in named
        if await s.lock(s.tables.script, (path, version)) is not None
    ]
    for path, version, lock in held:
        await s.update(s.tables.script, (path, version), partial(_locked, lock=lock))
    return []


def _locked(row: ScriptRow, *, lock: str) -> ScriptRow:
    return msgspec.structs.replace(row, lock=lock)


@models("store_preprocessed")
async def store_preprocessed(s: Statement, ids: Sequence[UUID], args: Sequence[str]) -> Rows:
    """Keeps what scripts have made of arguments."""
    for id_, made in zip(ids, args, strict=True):
        row = PreprocessedRow(id=id_, args=made)
        await s.insert(s.tables.job_preprocessed, row, on_conflict=partial(_new, row))
    return []


def _new(new: PreprocessedRow, _old: PreprocessedRow) -> PreprocessedRow:
    return new


@models("preprocessed_args")
async def preprocessed_args(s: Statement, job: UUID) -> Rows:
    """What a script has made of a job's arguments."""
    row = s.find(s.tables.job_preprocessed, job)
    return [] if row is None else [(row.args,)]
