"""Virtual time, messages that travel in it, and statements that take no task."""

from functools import partial
from random import Random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from sim.clock import VirtualClock
from sim.database.post import Post
from sim.database.stepping import Waits, begun, rest, task_of_its_own
from sim.determinism import simulate


def arrivals(seed: int) -> list[tuple[str, float]]:
    """When five messages arrive, three of them in the moment in which they were sent."""
    came: list[tuple[str, float]] = []

    def arrives(name: str) -> None:
        came.append((name, trio.current_time()))

    async def main() -> None:
        async with trio.open_nursery() as tasks:
            post = Post(Random(seed))
            tasks.start_soon(post.run)
            for name, after_s in (("a", 0), ("b", 2), ("c", 0), ("d", 1), ("e", 0)):
                post.send(partial(arrives, name), after_s)
            assert not came
            post.close()

    simulate(main, seed=1, horizon_s=100, wall_limit_s=60)
    return came


def test_a_message_arrives_in_its_time() -> None:
    """Also after the last was sent; those of one moment in any order."""
    orders = {tuple(arrivals(seed)) for seed in range(40)}
    assert {order[3:] for order in orders} == {(("d", 1), ("b", 2))}
    assert len({order[:3] for order in orders}) == 6


@pytest.mark.parametrize("after_s", [0, 1])
def test_what_a_message_raises_ends_the_run(after_s: float) -> None:
    """As itself, wherever in Trio's loop it arrived."""

    def fail() -> None:
        raise KeyError("mine")

    async def main() -> None:
        async with trio.open_nursery() as tasks:
            post = Post(Random(1))
            tasks.start_soon(post.run)
            post.send(fail, after_s)

    with pytest.raises(KeyError, match="mine"):
        simulate(main, seed=1, horizon_s=100, wall_limit_s=60)


def test_time_does_not_pass_while_somebody_waits_for_idleness() -> None:
    """`wait_all_tasks_blocked` comes before the next alarm and the next deadline."""

    async def main() -> list[float]:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, VirtualClock)
        rang: list[float] = []
        clock.call_at(3, lambda: rang.append(trio.current_time()))
        with trio.move_on_after(5):
            await wait_all_tasks_blocked()
            rang.append(trio.current_time())
            await trio.sleep_forever()
        return [*rang, trio.current_time()]

    assert simulate(main, seed=1, horizon_s=100, wall_limit_s=60) == [0, 3, 5]


async def double(number: int, *, first_s: float) -> int:
    """Twice the number, at once or after a while."""
    if first_s:
        await task_of_its_own()
        await trio.sleep(first_s)
    return 2 * number


def test_what_need_not_wait_needs_no_task() -> None:
    """It is over in the call."""
    assert begun(double(4, first_s=0)) == 8


def test_what_waits_goes_on_in_a_task() -> None:
    """From where it said so."""

    async def main() -> tuple[int, float]:
        work = double(4, first_s=2)
        with pytest.raises(Waits):
            begun(work)
        return await rest(work), trio.current_time()

    assert simulate(main, seed=1, horizon_s=100, wall_limit_s=60) == (8, 2)
