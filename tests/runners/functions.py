"""An app whose functions do all that functions can do; another process imports it too."""
# ruff: noqa: T201 - what jobs print is what they are there for

import asyncio
import ctypes
import logging
import os
import sys
import threading
import time
import warnings
from pathlib import Path

import trio

from trioworker.app import App, JobContext
from trioworker.errors import Cancel, Retry, Snooze

app = App()
logger = logging.getLogger("tasks")


def say(context: JobContext) -> str:
    """Write in every way that a job can write."""
    print("printed", "twice")
    print("to stderr", file=sys.stderr)
    logger.warning("logged")
    context.log("from context")
    return f"{context.attempt} {context.tag} {context.id.int > 0}"


def refuse(how: str) -> None:
    """End in the way that is asked for."""
    raise {
        "snooze": Snooze(3),
        "retry": Retry("busy", delay_s=4),
        "cancel": Cancel("enough"),
        "error": ValueError("no good"),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt("now"),
    }[how]


async def async_say(context: JobContext) -> str:
    """Write, after another task could have run."""
    await trio.lowlevel.checkpoint()
    return say(context)


async def async_refuse(how: str) -> None:
    """End otherwise than by returning."""
    refuse(how)


async def asyncio_say(context: JobContext) -> str:
    """Write, after other callbacks could have run."""
    await asyncio.sleep(0)
    return say(context)


def plain() -> object:
    """Return what JSON does not know."""
    return object()


async def async_plain() -> object:
    """Return what JSON does not know."""
    return object()


app.job(name="async say")(async_say)
app.job(name="thread say")(say)
app.job(name="asyncio say", flavour="asyncio")(asyncio_say)
app.job(name="process say", flavour="process")(say)
app.job(name="async refuse")(async_refuse)
app.job(name="thread refuse")(refuse)
app.job(name="asyncio refuse", flavour="asyncio")(async_refuse)
app.job(name="process refuse", flavour="process")(refuse)


def is_busy(error: BaseException) -> bool:
    """Say yes to what may pass."""
    return "busy" in str(error)


def raise_for(what: str) -> None:
    """Fail with a class that has a base."""
    raise FileNotFoundError(what)


async def async_raise_for(what: str) -> None:
    """Fail with a class that has a base."""
    raise FileNotFoundError(what)


app.job(name="async decided", retry=3, retry_if=is_busy)(async_raise_for)
app.job(name="thread decided", retry=3, retry_if=is_busy)(raise_for)
app.job(name="asyncio decided", flavour="asyncio", retry=3, retry_if=is_busy)(async_raise_for)
app.job(name="process decided", flavour="process", retry=3, retry_if=is_busy)(raise_for)
app.job(name="async plain")(async_plain)
app.job(name="thread plain")(plain)
app.job(name="asyncio plain", flavour="asyncio")(async_plain)
app.job(name="process plain", flavour="process")(plain)


@app.job
async def nursery_of_failures(count: int) -> None:
    """Fail in several tasks at once."""

    async def fail(number: int) -> None:
        raise ValueError(str(number))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(fail, number)


@app.job
async def chatty_neighbours(word: str) -> None:
    """Print, with other jobs in between."""
    for _ in range(5):
        print(word)
        await trio.lowlevel.checkpoint()


class Gate:
    """Lets a test and its job, in whichever thread, wait for one another."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.left = threading.Event()
        self.ended_as = ""


gate = Gate()


@app.job
async def async_wait() -> None:
    """Wait until cancelled."""
    gate.entered.set()
    try:
        await trio.sleep_forever()
    finally:
        gate.ended_as = "cancelled"


@app.job
async def fails_while_cancelled() -> None:
    """Answer a cancellation with another failure beside it."""

    async def fail_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("late")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail_late)
        nursery.start_soon(trio.sleep_forever)
        gate.entered.set()


@app.job(flavour="asyncio")
async def asyncio_wait() -> None:
    """Wait until cancelled, and clean up for a while."""
    gate.entered.set()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(0.01)
        gate.ended_as = "cancelled"
        raise


@app.job(flavour="asyncio")
async def asyncio_cancels_itself() -> None:
    """Do what a confused job does."""
    raise asyncio.CancelledError


@app.job(flavour="asyncio")
async def asyncio_leaves_a_task_behind() -> int:
    """Start something and forget it."""
    background.append(asyncio.ensure_future(asyncio.sleep(3600)))
    return threading.get_ident()


background: list[asyncio.Future[None]] = []


@app.job
def thread_wait() -> None:
    """Wait in a thread that nobody can kill."""
    gate.entered.set()
    gate.left.wait(10)
    print("too late")
    gate.ended_as = "left"


@app.job
def thread_asks() -> None:
    """Ask now and then whether to go on."""
    gate.entered.set()
    try:
        while True:
            trio.from_thread.check_cancelled()
            time.sleep(0.001)
    finally:
        gate.ended_as = "cancelled"


@app.job
def thread_raises_stop() -> None:
    """Raise what a coroutine cannot raise."""
    raise StopIteration("odd")


@app.job(flavour="process")
def process_id(squared: int) -> tuple[int, int]:
    """Say where it ran."""
    return os.getpid(), squared * squared


@app.job(flavour="process")
def process_exits(status: int) -> None:
    """Take the process down without a word to Python."""
    print("about to leave")
    os._exit(status)


@app.job(flavour="process")
def process_crashes() -> None:
    """Take the process down as a bug in C would."""
    with warnings.catch_warnings():
        ctypes.string_at(0)


@app.job(flavour="process")
def process_waits(file: str) -> None:
    """Tell that it began, then compute for ever."""
    Path(file).write_text(str(os.getpid()), encoding="utf-8")
    while True:
        pass


@app.job(flavour="process")
def process_shells() -> None:
    """Let another program print."""
    os.system("echo from a child")  # noqa: S605 - the point of it
