"""Where a job runs, what it knows about itself, and how it may end. With a client on Trio."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from trioworker import (
    App,
    Cancel,
    Client,
    JobContext,
    JobFailed,
    Retry,
    Snooze,
    TrioworkerError,
    open_client,
)

app = App()

# ---- where it runs ----------------------------------------------------------------------------


@app.job
async def on_trio(naps: int) -> str:
    """`async def` runs on Trio, side by side with all the others."""
    async with trio.open_nursery() as nursery:
        for _ in range(naps):
            nursery.start_soon(trio.sleep, 0.1)
    return f"{naps} naps at once"


@app.job(flavour="asyncio")
async def on_asyncio(naps: int) -> str:
    """The same for libraries that want asyncio."""
    await asyncio.gather(*(asyncio.sleep(0.1) for _ in range(naps)))
    return f"{naps} naps at once"


@app.job
def in_a_thread(file: str) -> int:
    """A plain `def` runs in a thread: for whatever blocks, as reading a file does."""
    return len(Path(file).read_bytes().splitlines())


@app.job(flavour="process", timeout_s=60)
def in_a_process(below: int) -> int:
    """For what keeps a core busy: it has an interpreter of its own."""
    composite = {multiple for n in range(2, below) for multiple in range(n * n, below, n)}
    return below - 2 - len(composite)


# ---- what it knows, and how it may end --------------------------------------------------------


@app.job
async def lucky_at_last(tries: int, context: JobContext) -> str:
    """Tries again: each time is an attempt of its own, with a log of its own."""
    context.log(f"attempt {context.attempt} of job {context.id}")
    if context.attempt < tries:
        raise Retry("no luck yet", delay_s=0.1)
    return f"lucky at attempt {context.attempt}"


@app.job
async def not_before(moment: datetime, context: JobContext) -> str:
    """Goes to sleep without a worker being held, and without an attempt being charged."""
    if (early := moment - datetime.now(UTC)) > timedelta(0):
        raise Snooze(early.total_seconds())
    return f"attempt {context.attempt}, and it is time"


@app.job
async def give_up() -> None:
    """Ends without success and without failure."""
    raise Cancel("there was nothing to do")


# ---- one of each ------------------------------------------------------------------------------

JOBS: dict[str, dict[str, object]] = {
    "on_trio": {"naps": 100},
    "on_asyncio": {"naps": 100},
    "in_a_thread": {"file": __file__},
    "in_a_process": {"below": 10_000},
    "lucky_at_last": {"tries": 3},
    "not_before": {"moment": datetime.now(UTC) + timedelta(seconds=0.5)},
    "give_up": {},
}


async def show(client: Client, path: str, args: dict[str, object]) -> None:
    """Enqueue one job and print what came of it."""
    job = await client.enqueue(path, args, awaited=True)
    try:
        print(f"{path}: {await client.result(job)}")
    except JobFailed as failed:
        print(f"{path}: {failed.status}, {failed.reason}")
    for attempt in await client.logs(job):
        print(f"{path}: log {attempt.attempt}: {attempt.text.strip()}")


async def main(url: str) -> None:
    """One of each at once; with the app at hand, arguments are checked before they are queued."""
    async with open_client(url, app=app) as client, trio.open_nursery() as nursery:
        for path, args in JOBS.items():
            nursery.start_soon(show, client, path, args)


if __name__ == "__main__":
    address = os.environ.get("DATABASE_URL") or sys.exit("set DATABASE_URL to your PostgreSQL's")
    try:
        trio.run(main, address)
    except TrioworkerError as wrong:
        sys.exit(str(wrong))
