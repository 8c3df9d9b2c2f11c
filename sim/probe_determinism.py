"""Runs small scenes under several seeds and prints a hash of what each did, as JSON.

Rule of this file: a scene is what would tell two processes apart if one part of the determinism
were missing, and its trace is in full (`repr` of floats, no addresses). The test starts it in
many processes that differ in everything a run must not depend on:

    python -m sim.probe_determinism NUMBER [--hypothesis] [--without PART]

NUMBER scrambles the heap: it decides where later objects will lie. On a quiet heap the addresses
are the same in each process, and what follows them looks as if it were deterministic. `--without`
leaves out the flag, the seed, or one patch ("Nursery.child_tasks"), to show that it is needed.
"""

import argparse
import gc
import hashlib
import importlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from random import Random
from typing import Final

import trio
import trio.testing
from trio._core import _run

from sim import trio_patch
from sim.determinism import simulate
from sim.replace import replaced
from sim.streams import Streams
from sim.trio_patch import PROCESS, Process

SEEDS: Final = (1, 2, 3, 5)
CROWD: Final = 40
JUNK: Final = 20_000

Trace = list[str]
Scene = Callable[[Trace, int], Awaitable[None]]


# ---- scenes ---------------------------------------------------------------------------------


async def cancelled_tasks(trace: Trace, seed: int) -> None:
    """Many tasks are cancelled together and each says so on its way out."""
    del seed

    async def wait(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            trace.append(name)

    async with trio.open_nursery() as nursery:
        for number in range(CROWD):
            nursery.start_soon(wait, f"task {number}")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def _wait_with_callback(told: Callable[[], None]) -> None:
    def abort(_: object) -> trio.lowlevel.Abort:
        told()
        return trio.lowlevel.Abort.SUCCEEDED

    await trio.lowlevel.wait_task_rescheduled(abort)


async def abort_callbacks(trace: Trace, seed: int) -> None:
    """The callbacks of many cancelled tasks have an effect, as those of a driver would."""
    del seed
    async with trio.open_nursery() as nursery:
        for number in range(CROWD):
            nursery.start_soon(_wait_with_callback, lambda n=number: trace.append(f"abort {n}"))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def sibling_scopes(trace: Trace, seed: int) -> None:
    """The callbacks in many sibling scopes draw from one generator."""
    rng = Streams(seed).stream("siblings")

    async def wait(number: int) -> None:
        with trio.CancelScope():
            await _wait_with_callback(lambda: trace.append(f"{number} drew {rng.random()!r}"))

    async with trio.open_nursery() as nursery:
        for number in range(CROWD):
            nursery.start_soon(wait, number)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def equal_deadlines(trace: Trace, seed: int) -> None:
    """Many deadlines expire at the same moment."""
    del seed

    async def wait(number: int) -> None:
        with trio.CancelScope(deadline=5):
            await _wait_with_callback(lambda: trace.append(f"expired {number}"))

    async with trio.open_nursery() as nursery:
        for number in range(CROWD):
            nursery.start_soon(wait, number)


async def child_tasks(trace: Trace, seed: int) -> None:
    """Somebody loops over the children of a nursery."""
    del seed
    async with trio.open_nursery() as nursery:
        for number in range(CROWD):
            nursery.start_soon(trio.sleep_forever, name=f"child {number}")
        await trio.sleep(1)
        trace += [task.name for task in nursery.child_tasks]
        nursery.cancel_scope.cancel()


async def idle_waiters(trace: Trace, seed: int) -> None:
    """Many tasks wait for a quiet moment; Trio keeps them by address and wakes all."""
    del seed

    async def wait(name: str) -> None:
        await trio.testing.wait_all_tasks_blocked()
        trace.append(name)

    async with trio.open_nursery() as nursery:
        for number in range(CROWD):
            nursery.start_soon(wait, f"task {number}")


async def pipeline(trace: Trace, seed: int) -> None:
    """Producers and consumers share a channel and a lock, time out, and one process pauses."""
    streams = Streams(seed)
    process = Process("consumers")
    lock = trio.Lock()
    send, receive = trio.open_memory_channel[str](2)

    async def produce(name: str, mine: trio.MemorySendChannel[str]) -> None:
        rng = streams.stream(name)
        async with mine:
            for number in range(10):
                await trio.sleep(rng.random())
                await mine.send(f"{name}.{number}")

    async def consume(name: str) -> None:
        rng = streams.stream(name)
        async for item in receive:
            with trio.move_on_after(0.3) as scope:
                async with lock:
                    await trio.sleep(rng.random() / 2)
            late = "late" if scope.cancelled_caught else "done"
            trace.append(f"{trio.current_time()!r} {name} {item} {late}")

    async with trio.open_nursery() as nursery:
        of_the_process = copy_context()
        of_the_process.run(PROCESS.set, process)
        for number in range(5):
            nursery.start_soon(produce, f"producer {number}", send.clone())
            of_the_process.run(nursery.start_soon, consume, f"consumer {number}")
        send.close()
        await trio.sleep(2)
        process.pause()
        await trio.sleep(2)
        trace.append("resumed")
        process.resume()


SCENES: Final[tuple[Scene, ...]] = (
    cancelled_tasks,
    abort_callbacks,
    sibling_scopes,
    equal_deadlines,
    child_tasks,
    idle_waiters,
    pipeline,
)


# ---- the program ----------------------------------------------------------------------------


def trace_hash(scene: Scene, seed: int, without: str = "") -> str:
    """Run a scene once and say what it did, in 16 digits."""
    trace: Trace = []

    async def main() -> None:
        if without == "seed":
            vars(_run)["_r"].seed()
        flag = replaced(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", value=False)
        with flag if without == "flag" else nullcontext():
            await scene(trace, seed)

    simulate(main, seed=seed, horizon_s=1000, wall_limit_s=60)
    assert trace, f"{scene} left no trace"
    return hashlib.blake2b("\n".join(trace).encode(), digest_size=8).hexdigest()


@contextmanager
def _patches_without(part: str) -> Iterator[None]:
    kept = tuple(p for p in trio_patch.PATCHES if f"{p.owner.__name__}.{p.name}" != part)
    with replaced(trio_patch, "PATCHES", kept):
        yield


def _scrambled_heap(number: int) -> list[bytes]:
    """Junk with holes in it, which the objects of the runs will fill.

    The holes come about in no order: Python fills the youngest first.
    """
    rng = Random(f"junk/{number}")
    junk = [bytes(rng.randrange(8, 512)) for _ in range(JUNK)]
    rng.shuffle(junk)
    return [each for each in junk if rng.getrandbits(1)]


def main() -> None:
    """Print {scene: [the hash for each of `SEEDS`]}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("--hypothesis", action="store_true")
    parser.add_argument("--without", default="")
    asked = parser.parse_args()
    if asked.hypothesis:
        importlib.import_module("hypothesis")
    gc.freeze()
    junk = _scrambled_heap(asked.number)
    with _patches_without(asked.without):
        hashes = {
            scene.__name__: [trace_hash(scene, seed, asked.without) for seed in SEEDS]
            for scene in SCENES
        }
    del junk
    sys.stdout.write(json.dumps(hashes))


if __name__ == "__main__":
    main()
