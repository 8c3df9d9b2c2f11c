"""Flows whose steps share a worker, and how a test or a process of its own runs them.

    python -m tests.worker.sharing URL FOLDER MODE LEASE_SECONDS

Each step appends its name to a file in the folder that it shares, and returns what it finds there
and who has run it. Such a process works until it is killed or, on SIGTERM, has stopped.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import trio

from tests.worker.harness import Rig
from trioworker import App, JobContext
from trioworker.events import Emit, Event, WorkerStarted
from trioworker.ids import new_id
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.tags import unranked
from trioworker.runners.registry import build_runners, open_runners
from trioworker.runners.shared_folders import SharedFolders
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore
from trioworker.store.protocol import Store
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Report, Stop, work

app = App()
SLOW_S = 0.2

SCRIPT = """
import json, os, pathlib
file = pathlib.Path(os.environ["TRIOWORKER_SHARED"]) / "steps"
with file.open("a") as steps:
    steps.write("script\\n")
pathlib.Path(os.environ["TRIOWORKER_RESULT"]).write_text(json.dumps(file.read_text().split()))
"""
DEDICATED = """
import os, pathlib
def main(name):
    file = pathlib.Path(os.environ["TRIOWORKER_SHARED"]) / "steps"
    with file.open("a") as steps:
        steps.write(name + "\\n")
    return file.read_text().split()
def alone():
    return "TRIOWORKER_SHARED" in os.environ
"""


def _note(ctx: JobContext, name: str) -> list[str]:
    assert ctx.shared is not None
    file = ctx.shared / "steps"
    with file.open("a") as steps:
        steps.write(f"{name}\n")
    return file.read_text().split()


@app.job
async def step(ctx: JobContext, name: str) -> dict[str, Any]:
    """The names so far, this one the last, and whose hands it was in."""
    return {"seen": _note(ctx, name), "tag": ctx.tag, "pid": os.getpid()}


@app.job
async def slow(ctx: JobContext, name: str) -> list[str]:
    """One that takes a while."""
    seen = _note(ctx, name)
    await trio.sleep(SLOW_S)
    return seen


@app.job
async def flaky(ctx: JobContext, name: str) -> list[str]:
    """One that fails the first time."""
    seen = _note(ctx, name)
    if ctx.attempt == 1:
        raise ValueError("not yet")
    return seen


@app.job(flavour="process")
def elsewhere(ctx: JobContext, name: str) -> list[str]:
    """One that runs in a process of its own."""
    return _note(ctx, name)


@app.job
def threaded(ctx: JobContext, name: str) -> list[str]:
    """One that runs in a thread."""
    return _note(ctx, name)


@app.job
async def alone(ctx: JobContext) -> bool:
    """Whether it shares a folder."""
    return ctx.shared is not None


def call(name: str, path: str = "step", **more: object) -> dict[str, object]:
    """A step that is told its own name."""
    return {"id": name, "type": "function", "path": path, "args": {"name": name}, **more}


def chain(*names: str, path: str = "step") -> list[dict[str, object]]:
    """One step after the other."""
    return [call(name, path) for name in names]


def push(rig: Rig, path: str, steps: Sequence[object], **more: object) -> None:
    """Make the steps the newest version of a flow whose steps share a worker."""
    definition = {"steps": steps, "same_worker": True, **more}
    rig.do(
        "insert into trioworker.flow (path, version, definition)"
        " select %s, count(*) + 1, %s::jsonb from trioworker.flow where path = %s",
        path, json.dumps(definition), path,
    )  # fmt: skip


async def run_one(
    store: Store,
    folder: Path,
    *,
    mode: Mode,
    emit: Emit,
    stop: Stop | None = None,
    scripts_dir: Path = Path(),
    **settings: object,
) -> Report:
    """A worker with shared folders, until it is stopped or, without a stop, drained."""
    defaults: dict[str, object] = {
        "name": "sharing", "host": "here", "pid": os.getpid(), "tags": unranked("default"),
        "concurrency": 20, "drain": stop is None, "report_jobs": True,
    }  # fmt: skip
    config = WorkerConfig(
        mode=mode,
        sizes=sizes_for(mode, pull=100, commit=100),
        **(defaults | settings),  # type: ignore[arg-type]  # checked where it is used
    )
    rng = random.Random(1)
    runners = build_runners(app, scripts_dir=scripts_dir, rng=rng)
    shared = SharedFolders(folder)
    async with open_runners(runners), shared.open():
        return await work(
            store=store, runners=runners, config=config, ports=Ports(new_id, rng),
            stop=stop or Stop(), emit=emit, shared=shared,
        )  # fmt: skip


def results(rig: Rig, flow: UUID) -> list[Any]:
    """What the steps of the flow returned, one after the other."""
    rows = rig.query(
        "select done.result from trioworker.job_completed as done"
        " join trioworker.job using (id) where job.parent = %s order by done.completed_at, done.id",
        flow,
    )
    return [row[0] for row in rows]


def _tell(event: Event) -> None:
    if isinstance(event, WorkerStarted):
        sys.stdout.write(f"started {event.worker}\n")
        sys.stdout.flush()


async def main(*arguments: str) -> None:
    """Work until SIGTERM."""
    url, folder, mode, lease_s = arguments
    stop, lease = Stop(), float(lease_s)
    async with (
        open_database(url, WORKER_LANES, emit=lambda _event: None) as database,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_stop_on_signal, stop)
        await run_one(
            PostgresStore(database, now_s=trio.current_time), Path(folder), mode=Mode(mode),
            emit=_tell, stop=stop, heartbeat_s=lease / 6, lease_s=lease, sweep_s=lease / 4,
        )  # fmt: skip
        nursery.cancel_scope.cancel()


async def _stop_on_signal(stop: Stop) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            stop.ask()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
