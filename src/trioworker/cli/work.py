"""One worker from settings: the path that `trioworker run` and the demo share.

Rule of this file: it puts the parts together and decides nothing about jobs.
"""

import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import trio
from platformdirs import user_cache_path

from trioworker.app import App
from trioworker.cli.http import counted, lanes_for, open_http
from trioworker.cli.own_scripts import check_own_scripts, own_scripts
from trioworker.cli.progress import Tally, showing
from trioworker.cli.sinks import Log, log_sink, statement_sink
from trioworker.errors import StoreError, UsageError
from trioworker.events import (
    ChunksCut,
    Emit,
    JobsLeft,
    SchedulesDeclared,
    SchedulesLeft,
)
from trioworker.ids import new_id
from trioworker.model.batching import sizes_for
from trioworker.runners.host_group import HostLimits
from trioworker.runners.packages import PRIVATE
from trioworker.runners.protocol import Runner
from trioworker.runners.registry import build_runners, open_runners
from trioworker.runners.shared_folders import SharedFolders, default_base
from trioworker.runners.shelf import Shelf
from trioworker.server.metrics import Metrics
from trioworker.settings import LogLevel, Settings
from trioworker.store.postgres.database import Database, PostgresDatabase, open_database
from trioworker.store.postgres.migrate import check_schema
from trioworker.store.postgres.schedule_admin import PostgresSchedules
from trioworker.store.postgres.store import CONTROL, PostgresStore
from trioworker.store.protocol import Store
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Report, Stop, work

DAY_S: Final = 86_400.0


async def work_at(
    url: str, settings: Settings, app: App | None, tally: Tally, *, drain: bool
) -> Report:
    """Work on the jobs at `url` until drained, or until SIGTERM or SIGINT.

    Raises `SchemaMismatch` when the schema is not ours, `StoreError` when the database cannot be
    reached at the start, and `UsageError` when the app cannot be served.
    """
    log = Log(settings.log_level, settings.log_format)
    rng = Random()
    check_folders(settings)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_store(url, settings, log, metrics))
        await check_schema(database, settings.schema)
        store = PostgresStore(database, now_s=trio.current_time)
        shelf = shelf_for(settings, store, rng)
        runners = runners_for(settings, app, rng, shelf)
        stop = await stack.enter_async_context(stop_on_signals())
        if drain:
            total = await _count(database, settings.tags.names)
            await stack.enter_async_context(showing(tally, log, total=total))
        await stack.enter_async_context(open_runners(runners))
        shared = SharedFolders(default_base())
        await stack.enter_async_context(shared.open())
        emit = counted(settings, metrics, tally, log_sink(log))
        tell_cut_chunks(app, settings.concurrency, emit)
        await declare_schedules(app, database, emit)
        await stack.enter_async_context(
            open_http(settings, database, app, metrics=metrics, emit=emit, hurry=stop.forced)
        )
        await stack.enter_async_context(own_scripts(settings, stop, emit))
        report = await work(
            store=store,
            runners=runners,
            config=worker_config(settings, drain=drain),
            ports=Ports(new_id, rng),
            stop=stop,
            emit=emit,
            scripts=shelf.scripts,
            shared=shared,
        )
        if drain and not stop.asked.is_set():
            await tell_what_is_left(database, settings.tags.names, emit)
        return report


def worker_config(settings: Settings, *, drain: bool) -> WorkerConfig:
    """What the worker is told."""
    host = socket.gethostname()
    return WorkerConfig(
        name=settings.worker_name or host,
        host=host,
        pid=os.getpid(),
        mode=settings.mode,
        tags=settings.tags,
        sizes=sizes_for(
            settings.mode, pull=settings.batch_pull_size, commit=settings.batch_commit_size
        ),
        concurrency=settings.concurrency,
        policy=settings.batch_policy,
        fallback=settings.commit_fallback,
        start_within_s=settings.start_within_s,
        poll_s=settings.poll_s,
        heartbeat_s=settings.heartbeat_s,
        lease_s=settings.lease_s,
        sweep_s=settings.sweep_s,
        grace_s=settings.grace_s,
        flush_s=settings.flush_s,
        log_flush_s=settings.log_flush_s,
        retention_s=settings.retention_days * DAY_S or None,
        reaped_max=settings.reaped_max,
        drain=drain,
        report_jobs=settings.log_level is LogLevel.DEBUG or settings.address is not None,
    )


def check_folders(settings: Settings) -> None:
    """Raises `UsageError` when a folder cannot be used, or a script of the worker's own not run."""
    if settings.scripts_dir is not None and not settings.scripts_dir.is_dir():
        raise UsageError(
            f"the scripts folder {settings.scripts_dir} does not exist; make it, or name another"
            " with --scripts-dir"
        )
    cache = cache_folder(settings)
    try:
        cache.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the cache folder {cache} cannot be made: {error.strerror}; name another with"
            " --cache-dir"
        ) from error
    check_own_scripts(settings)


def cache_folder(settings: Settings) -> Path:
    """Where deployed scripts and their packages are kept."""
    return settings.cache_dir or user_cache_path("trioworker", appauthor=False)


def shelf_for(settings: Settings, store: Store, rng: Random) -> Shelf:
    """The deployed scripts of the store, on this machine."""
    scripts_dir = settings.scripts_dir or Path.cwd()
    return Shelf(scripts_dir, store.scripts, cache_folder(settings), rng)


def runners_for(
    settings: Settings, app: App | None, rng: Random, shelf: Shelf
) -> Mapping[str, Runner]:
    """A runner for every kind of job."""
    return build_runners(
        app,
        scripts_dir=settings.scripts_dir or Path.cwd(),
        rng=rng,
        unknown=settings.unknown_functions,
        concurrency=settings.concurrency,
        dedicated=HostLimits(window=settings.dedicated_window),
        deployed=shelf,
    )


def tell_cut_chunks(app: App | None, concurrency: int, emit: Emit) -> None:
    """Tell which functions never get as many calls in a chunk as they ask for."""
    for function in app.jobs.values() if app is not None else ():
        chunking = function.chunking
        if chunking is not None and chunking.size > concurrency:
            emit(
                ChunksCut(
                    path=function.name,
                    chunk=chunking.size,
                    concurrency=concurrency,
                    message=f"no chunk of '{function.name}' can have more than the {concurrency}"
                    " jobs that run at once; raise --concurrency, or lower its chunk=…",
                )
            )


async def declare_schedules(app: App | None, database: Database, emit: Emit) -> None:
    """Store the schedules of the app, and tell which of its former ones it does not declare."""
    if app is None:
        return
    schedules, stored = app.schedules, PostgresSchedules(database, CONTROL)
    if schedules:
        declared = await stored.declare(schedules)
        if declared.new or declared.changed:
            emit(SchedulesDeclared(new=declared.new, changed=declared.changed))
    modules = {function.function.__module__ for function in app.jobs.values()}
    if left := await stored.undeclared(schedules, modules):
        hint = "delete them with `trioworker schedules delete`, or declare them again"
        emit(SchedulesLeft(names=left, message=hint))


@asynccontextmanager
async def open_store(
    url: str, settings: Settings, log: Log, metrics: Metrics
) -> AsyncIterator[PostgresDatabase]:
    """The database with the lanes that a process with these settings needs."""
    sinks: Sequence[Emit] = (statement_sink(log),) if settings.log_statements else ()
    async with open_database(
        url,
        lanes_for(settings),
        emit=counted(settings, metrics, *sinks),
        schema=settings.schema,
        command_timeout_s=settings.command_timeout_s,
        listen_url=settings.listen_database_url,
    ) as database:
        yield database


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[Stop]:
    """A stop that the first SIGTERM or SIGINT asks for, and the second forces."""
    stop = Stop()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_for_each, signals, stop)
            yield stop
            nursery.cancel_scope.cancel()


async def _ask_for_each(signals: AsyncIterator[int], stop: Stop) -> None:
    async for _ in signals:
        stop.ask()


async def tell_what_is_left(database: Database, tags: Sequence[str], emit: Emit) -> None:
    """Tell which jobs of the tags a drain has not waited for, if any."""
    try:
        rows = [row for row in await database.run(CONTROL, "count_jobs") if row[0] in tags]
    except StoreError:
        # The queue was drained; that nobody can count what is left makes no difference to that.
        return
    later, waiting, running = (sum(row[column] for row in rows) for column in (2, 3, 4))
    if later or waiting or running:
        hint = "a drain does what is due; run it again, or a worker that stays"
        emit(JobsLeft(later=later, waiting=waiting, running=running, message=hint))


async def _count(database: PostgresDatabase, tags: Sequence[str]) -> int:
    rows = await database.run(CONTROL, "count_jobs")
    return sum(row[1] for row in rows if row[0] in tags)
