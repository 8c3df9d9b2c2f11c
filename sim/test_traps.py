"""The traps: every way out of a run is found, named, and not forgiven."""

import logging
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio.to_thread
import pytest
import trio
from trio.to_thread import run_sync as run_sync_by_name

from sim.determinism import simulate
from sim.traps import TRAPS, Leak, Trap


def run(main: Callable[[], Awaitable[None]]) -> None:
    """A run with room for all of these."""
    simulate(main, seed=1, horizon_s=1000, wall_limit_s=60)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.title)
def test_each_trap_springs(trap: Trap) -> None:
    """It says what was called, by whom, and what to use instead, in one line."""

    async def main() -> None:
        getattr(trap.owner, trap.name)()

    with pytest.raises(Leak) as caught:
        run(main)
    told = str(caught.value)
    assert told.startswith(f"{trap.title} called by sim.test_traps, line ")
    assert told.endswith(f": {trap.instead}")
    assert "\n" not in told


def test_the_global_generator_is_guarded_whole() -> None:
    """Each function of the module that draws from the hidden generator has its trap."""
    assert {"random", "randrange", "shuffle", "choice", "seed", "getrandbits"} <= {
        trap.name for trap in TRAPS if trap.owner is random
    }


async def start_a_thread() -> None:
    """The plain way."""
    threading.Thread(target=print).start()


async def start_a_worker_thread() -> None:
    """Trio's way."""
    await trio.to_thread.run_sync(print)


async def start_a_worker_thread_by_name() -> None:
    """Trio's way, past the module."""
    await run_sync_by_name(int)


async def start_a_worker_thread_by_anyio() -> None:
    """The way of libraries that run on asyncio, too."""
    await anyio.to_thread.run_sync(print)


async def read_a_file() -> None:
    """Trio reads files in threads."""
    await trio.Path(__file__).read_text()


async def open_a_socket() -> None:
    """The plain way."""
    with socket.socket():
        pass


async def connect() -> None:
    """Trio's way, which asks for addresses first."""
    await trio.open_tcp_stream("127.0.0.1", 1)


async def start_a_process() -> None:
    """Whatever it does, it does at its own speed."""
    with subprocess.Popen([sys.executable, "--version"]):  # noqa: ASYNC220 - it never starts
        pass


@pytest.mark.parametrize(
    ("reach_out", "called"),
    [
        (start_a_thread, "threading.Thread.start"),
        (start_a_worker_thread, "trio.to_thread.run_sync"),
        (start_a_worker_thread_by_name, "Trio's cache of threads"),
        (start_a_worker_thread_by_anyio, "anyio.to_thread.run_sync"),
        (read_a_file, "Trio's cache of threads"),
        (open_a_socket, "socket.socket"),
        (connect, "socket.getaddrinfo"),
        (start_a_process, "subprocess.Popen"),
    ],
)
def test_no_way_leads_out(reach_out: Callable[[], Awaitable[None]], called: str) -> None:
    """By whatever library somebody reaches out, our line that did so is named."""
    with pytest.raises(Leak, match=f"^{called} called by sim.test_traps, line "):
        run(reach_out)


def test_a_socket_from_before_connects_nowhere() -> None:
    """Nor can a run use what was opened outside of it."""
    with socket.socket() as ours:

        async def main() -> None:
            ours.connect(("127.0.0.1", 1))

        with pytest.raises(Leak, match=r"^socket\.connect called by"):
            run(main)


def test_an_idle_thread_is_no_way_out() -> None:
    """Trio keeps threads for the next one who asks; none need be started for a leak."""
    trio.run(start_a_worker_thread_by_name)
    with pytest.raises(Leak):
        run(start_a_worker_thread_by_name)


def test_a_swallowed_leak_fails_the_run() -> None:
    """Code that survives its own leak, as a runner survives a job's errors, is told on."""

    async def main() -> None:
        with suppress(AssertionError):
            threading.Thread(target=print).start()

    with pytest.raises(Leak):
        run(main)


def test_a_leak_is_told_beside_the_failure_it_led_to() -> None:
    """Whoever reads the failure finds the likely cause under it."""

    async def main() -> None:
        with suppress(AssertionError):
            threading.Thread(target=print).start()
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        run(main)
    assert caught.value.__notes__[0].startswith("Before that: threading.Thread.start called by")


def test_others_may_read_the_clock() -> None:
    """Logging dates its records, and nobody in the run sees that."""
    records: list[logging.LogRecord] = []

    async def main() -> None:
        records.append(logging.makeLogRecord({"msg": "as ever"}))

    run(main)
    assert records[0].created > 0
