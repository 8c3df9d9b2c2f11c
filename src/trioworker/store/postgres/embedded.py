"""A PostgreSQL of our own in a folder, for those who have none: shared, found again, let go.

Rule of this file: the server lives as long as somebody uses it. Each user is a process that holds
a lock; whoever leaves and finds no other user stops the server. When all were killed it stays up,
the next user finds it, and stops it in turn. `start` keeps it without users until `stop`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import trio
from platformdirs import site_cache_path, user_data_path

from trioworker.store.postgres.embedded_cluster import Cluster, stop_server
from trioworker.store.postgres.embedded_folder import DataFolder
from trioworker.store.postgres.embedded_programs import (
    bundled_programs,
    reachable_programs,
    server_user,
)

POSTGRES_VERSION: Final = 18
APP: Final = "trioworker"


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server: its database's `url`, for asyncpg and libpq alike, and major version."""

    url: str
    version: int
    data_dir: Path


class Status(msgspec.Struct, frozen=True):
    """How a data folder stands.

    `pid` is the server's first process. `version` is the major version that made the data, None
    when there is none. `users` are process ids. `kept` says that it runs without users as well.
    """

    data_dir: str
    running: bool
    pid: int | None
    url: str
    version: int | None
    users: tuple[int, ...]
    kept: bool


def default_data_dir() -> Path:
    """The folder of a user who names none."""
    return user_data_path(APP)


@asynccontextmanager
async def open_embedded(
    data_dir: Path | None = None, *, postgres_version: int = POSTGRES_VERSION
) -> AsyncIterator[EmbeddedServer]:
    """Use the server of `data_dir`, started when it does not run.

    Raises `UsageError` when the folder or the machine cannot serve, `ServerUnavailable` when
    PostgreSQL does not start.
    """
    cluster = await _open_cluster(data_dir, postgres_version)
    folder = cluster.folder
    async with folder.exclusive():
        user = folder.add_user()
    try:
        async with folder.exclusive():
            await cluster.ensure_running()
        yield EmbeddedServer(folder.url, postgres_version, folder.path)
    finally:
        with trio.CancelScope(shield=True):
            async with folder.exclusive():
                user.remove()
                if not folder.users() and not folder.keep.exists():
                    await stop_server(folder)


async def start(
    data_dir: Path | None = None, *, postgres_version: int = POSTGRES_VERSION
) -> EmbeddedServer:
    """Start the server of `data_dir`, to run until `stop`. Raises as `open_embedded` does."""
    async with open_embedded(data_dir, postgres_version=postgres_version) as server:
        DataFolder.at(server.data_dir).keep.touch()
    return server


async def stop(data_dir: Path | None = None) -> Status:
    """Stop the server of `data_dir` now, used or not. Returns how it stood before.

    Its users lose their connections and find it again under the same url when it is started again.
    Raises `ServerUnavailable` when it does not stop.
    """
    before = status(data_dir)
    folder = DataFolder(Path(before.data_dir))
    if folder.lock.exists():
        async with folder.exclusive():
            before = status(data_dir)
            folder.keep.unlink(missing_ok=True)
            await stop_server(folder)
    return before


def status(data_dir: Path | None = None) -> Status:
    """How `data_dir` stands; changes nothing, and needs neither PostgreSQL nor the folder."""
    folder = DataFolder.at(data_dir or default_data_dir())
    server = folder.postmaster()
    return Status(
        data_dir=str(folder.path),
        running=server is not None,
        pid=server.pid if server else None,
        url=folder.url,
        version=folder.version,
        users=folder.users(),
        kept=folder.keep.exists(),
    )


async def _open_cluster(data_dir: Path | None, version: int) -> Cluster:
    bundled = bundled_programs(version)
    folder = DataFolder.at(data_dir or default_data_dir())
    folder.refuse_other_version(version)
    folder.make()
    user = server_user(folder.cluster)
    programs = await reachable_programs(bundled, user, site_cache_path(APP))
    return Cluster(folder, programs, user)
