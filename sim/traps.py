"""Traps on the ways out of a run: threads, sockets, processes, clocks, chance.

Rule of this file: what happens in a run follows from its seed alone, so whoever reaches for
something else is told at once, by name, with what to use instead. A leak is also written down:
the code that leaked may well survive its own exception, the run may not.

Some traps spring for everybody. The clocks and the entropy of the system spring for our own
modules only, because logging, Trio and others read them for what nobody can see in a run. They
catch calls through the module (`time.monotonic()`); a name that was imported (`from time import
monotonic`) is found by tests/house/tidy.py, which reads the code, and so is `datetime.now`, a
method of a C type that cannot be replaced.
"""

import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final, NamedTuple

import anyio.to_thread
import trio
from trio._core._thread_cache import ThreadCache

from sim.replace import replaced

OURS: Final = frozenset({"trioworker", "sim"})


class Leak(AssertionError):
    """Something that does not follow from the seed was asked for."""


class Trap(NamedTuple):
    """A name to guard: `title` is what the message calls it, `instead` the port to use."""

    owner: object
    name: str
    title: str
    instead: str
    ours_only: bool = False


_NO_THREADS: Final = "do it inline, or hand in a part that does; a thread runs when it likes"
_NO_NETWORK: Final = "go through Database or Store, which the simulator replaces"
_NO_PROCESS: Final = "hand in a runner that works inline"
_NO_CLOCK: Final = "read trio.current_time(), or take `now` as an argument"
_NO_ENTROPY: Final = "take ids from Ports.new_id and chance from the Random that was handed in"
_NO_GLOBAL: Final = "draw from the Random that was handed in; sim.streams has one per concern"

_CLOCKS: Final = (
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
)
_GLOBAL_DRAWS: Final = tuple(
    name
    for name, value in vars(random).items()
    if getattr(value, "__self__", None) is vars(random)["_inst"]
)

TRAPS: Final = (
    Trap(threading.Thread, "start", "threading.Thread.start", _NO_THREADS),
    Trap(trio.to_thread, "run_sync", "trio.to_thread.run_sync", _NO_THREADS),
    Trap(anyio.to_thread, "run_sync", "anyio.to_thread.run_sync", _NO_THREADS),
    # Where those two arrive under whatever name they were imported, and trio.Path, open_file and
    # getaddrinfo as well; Trio keeps idle threads, so that none need be started.
    Trap(ThreadCache, "start_thread_soon", "Trio's cache of threads", _NO_THREADS),
    Trap(socket.socket, "__init__", "socket.socket", _NO_NETWORK),
    Trap(socket.socket, "connect", "socket.connect", _NO_NETWORK),
    Trap(socket.socket, "connect_ex", "socket.connect_ex", _NO_NETWORK),
    Trap(socket, "getaddrinfo", "socket.getaddrinfo", _NO_NETWORK),
    Trap(subprocess.Popen, "__init__", "subprocess.Popen", _NO_PROCESS),
    *(Trap(time, name, f"time.{name}", _NO_CLOCK, ours_only=True) for name in _CLOCKS),
    Trap(uuid, "uuid1", "uuid.uuid1", _NO_ENTROPY, ours_only=True),
    Trap(uuid, "uuid4", "uuid.uuid4", _NO_ENTROPY, ours_only=True),
    Trap(os, "urandom", "os.urandom", _NO_ENTROPY, ours_only=True),
    *(Trap(random, name, f"random.{name}", _NO_GLOBAL) for name in _GLOBAL_DRAWS),
)


@contextmanager
def trapped() -> Iterator[list[Leak]]:
    """Set `TRAPS`, and hand out the list of what they caught.

    To be entered inside the run: Trio needs a socket pair of its own to begin with.
    """
    leaks: list[Leak] = []
    with ExitStack() as stack:
        for trap in TRAPS:
            stack.enter_context(replaced(trap.owner, trap.name, _armed(trap, leaks)))
        yield leaks


def _armed(trap: Trap, leaks: list[Leak]) -> Callable[..., object]:
    original = getattr(trap.owner, trap.name)

    def armed(*args: object, **kwargs: object) -> object:
        caller = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads source files
        if trap.ours_only and not _is_ours(caller):
            return original(*args, **kwargs)
        leak = Leak(f"{trap.title} called by {_culprit(caller)}: {trap.instead}")
        leaks.append(leak)
        raise leak

    return armed


def _is_ours(frame: FrameType) -> bool:
    # A program started with -m is called __main__ and still knows its package.
    module = frame.f_globals.get("__package__") or frame.f_globals.get("__name__") or ""
    return module.split(".")[0] in OURS


def _culprit(caller: FrameType) -> str:
    """The nearest of our frames in this task: whoever called the library that sprang the trap."""
    frame: FrameType | None = caller
    while frame is not None and not _is_ours(frame):
        in_trios_loop = frame.f_globals.get("__name__") == "trio._core._run"
        frame = None if in_trios_loop else frame.f_back
    frame = frame or caller
    return f"{frame.f_globals.get('__name__')}, line {frame.f_lineno}"
