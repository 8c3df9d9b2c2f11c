"""Pausing a process: it does nothing meanwhile, and afterwards everything happens at once."""

from collections.abc import Awaitable, Callable
from contextvars import copy_context

import pytest
import trio

from sim.determinism import simulate
from sim.trio_patch import PROCESS, InsertionOrdered, Process


def run(main: Callable[[], Awaitable[None]]) -> None:
    """A run with room for all of these."""
    simulate(main, seed=1, horizon_s=1000, wall_limit_s=60)


def start(nursery: trio.Nursery, process: Process, body: Callable[[], Awaitable[None]]) -> None:
    """Start a task of the process from outside of it."""
    context = copy_context()
    context.run(PROCESS.set, process)
    context.run(nursery.start_soon, body)


def test_the_sleeps_of_a_paused_process_do_not_end() -> None:
    """No timer fires in the pause, and afterwards the clock is far ahead."""
    paused, other = Process("paused"), Process("other")
    woken: dict[str, list[float]] = {"paused": [], "other": []}

    async def tick(process: Process) -> None:
        for _ in range(5):
            await trio.sleep(1)
            woken[process.name].append(trio.current_time())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            start(nursery, paused, lambda: tick(paused))
            start(nursery, other, lambda: tick(other))
            await trio.sleep(2.5)
            paused.pause()
            await trio.sleep(8)
            paused.resume()

    run(main)
    assert woken == {"paused": [1, 2, 10.5, 11.5, 12.5], "other": [1, 2, 3, 4, 5]}


def test_a_process_can_be_paused_again() -> None:
    """Each pause holds what would run in it, and nothing of the one before."""
    process = Process("worker")
    woken: list[float] = []
    send, receive = trio.open_memory_channel[None](0)

    async def work() -> None:
        woken.extend([trio.current_time() async for _ in receive])

    async def main() -> None:
        async with trio.open_nursery() as nursery, send:
            start(nursery, process, work)
            for _ in range(3):
                await trio.sleep(1)
                process.pause()
                await send.send(None)
                await trio.sleep(9)
                process.resume()

    run(main)
    assert woken == [10, 20, 30]


def test_a_new_task_of_a_paused_process_does_not_begin() -> None:
    """Neither one spawned just before the pause nor one spawned in its context meanwhile."""
    process = Process("worker")
    begun: list[float] = []

    async def begin() -> None:
        begun.append(trio.current_time())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            start(nursery, process, begin)
            process.pause()
            start(nursery, process, begin)
            await trio.sleep(3)
            process.resume()

    run(main)
    assert begun == [3, 3]


def test_a_channel_delivers_after_the_pause() -> None:
    """What was sent to a paused process is there when it goes on, once and in order."""
    process = Process("worker")
    received: list[tuple[float, int]] = []
    send, receive = trio.open_memory_channel[int](10)

    async def listen() -> None:
        received.extend([(trio.current_time(), number) async for number in receive])

    async def main() -> None:
        async with trio.open_nursery() as nursery, send:
            start(nursery, process, listen)
            await trio.sleep(1)
            process.pause()
            for number in range(3):
                await trio.sleep(1)
                await send.send(number)
            process.resume()

    run(main)
    assert received == [(4, 0), (4, 1), (4, 2)]


def test_a_deadline_in_the_pause_takes_effect_after_it() -> None:
    """A stopped process tells nobody that it gives up: its abort callbacks wait, too."""
    process = Process("worker")
    told: list[str] = []

    def abort(_: object) -> trio.lowlevel.Abort:
        told.append(f"gave up at {trio.current_time():g}")
        return trio.lowlevel.Abort.SUCCEEDED

    async def wait() -> None:
        with trio.move_on_after(3) as scope:
            await trio.lowlevel.wait_task_rescheduled(abort)
        told.append(f"late: {scope.cancelled_caught}, at {trio.current_time():g}")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            start(nursery, process, wait)
            await trio.sleep(1)
            process.pause()
            await trio.sleep(9)
            process.resume()

    run(main)
    assert told == ["gave up at 10", "late: True, at 10"]


def test_what_arrived_in_the_pause_wins_over_its_deadline() -> None:
    """As in Trio's loop, which looks at what has come before it looks at the clock."""
    process = Process("worker")
    event = trio.Event()
    late: list[bool] = []

    async def wait() -> None:
        with trio.move_on_after(3) as scope:
            await event.wait()
        late.append(scope.cancelled_caught)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            start(nursery, process, wait)
            await trio.sleep(1)
            process.pause()
            await trio.sleep(1)
            event.set()
            await trio.sleep(8)
            process.resume()

    run(main)
    assert late == [False]


@pytest.mark.parametrize("woken", [False, True])
def test_a_paused_process_can_be_killed(*, woken: bool) -> None:
    """Cancelled while it is held, whether something woke it or not, it unwinds when resumed."""
    process = Process("worker")
    event = trio.Event()
    told: list[str] = []

    async def work(scope: trio.CancelScope) -> None:
        with scope:
            await event.wait()
            told.append(f"went on at {trio.current_time():g}")
            await trio.sleep_forever()
        told.append(f"killed at {trio.current_time():g}")

    async def main() -> None:
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            start(nursery, process, lambda: work(scope))
            await trio.sleep(1)
            process.pause()
            if woken:
                event.set()
            await trio.sleep(1)
            scope.cancel()
            await trio.sleep(1)
            process.resume()

    run(main)
    assert told == [*(["went on at 3"] if woken else []), "killed at 3"]


def test_a_resumed_process_can_be_cancelled() -> None:
    """A pause leaves nothing behind that would keep a cancellation off."""
    process = Process("worker")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            start(nursery, process, trio.sleep_forever)
            await trio.sleep(1)
            process.pause()
            await trio.sleep(1)
            process.resume()
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert trio.current_time() == 3

    run(main)


def test_a_task_in_the_batch_runs_at_most_once_more() -> None:
    """The batch of the current tick cannot be recalled; the next one holds nothing of it."""
    process = Process("worker")
    steps = 0

    async def step() -> None:
        nonlocal steps
        while steps < 1000:
            await trio.lowlevel.checkpoint()
            steps += 1

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            start(nursery, process, step)
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            process.pause()
            steps_before = steps
            await trio.sleep(100)
            assert steps_before <= steps <= steps_before + 1
            process.resume()

    run(main)
    assert steps == 1000


def test_pausing_twice_is_pausing_once() -> None:
    """As with the signals; and so for resuming what is not paused."""
    process = Process("worker")
    ended: list[float] = []

    async def work() -> None:
        await trio.sleep(1)
        ended.append(trio.current_time())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            process.resume()
            start(nursery, process, work)
            process.pause()
            process.pause()
            await trio.sleep(5)
            process.resume()
            process.resume()
            assert not process.paused

    run(main)
    assert ended == [6]


def test_only_a_run_can_pause() -> None:
    """Outside of one nothing would be held, and that is said."""
    with pytest.raises(RuntimeError, match=r"only inside simulate\(\)"):
        Process("worker").pause()


def test_the_ordered_set_is_a_set() -> None:
    """Adding twice counts once and keeps the place; taking out what is not there fails."""
    numbers: InsertionOrdered[int] = InsertionOrdered()
    for number in (3, 1, 2, 3):
        numbers.add(number)
    numbers.discard(7)
    numbers.remove(1)
    assert list(numbers) == [3, 2]
    with pytest.raises(KeyError):
        numbers.remove(1)
