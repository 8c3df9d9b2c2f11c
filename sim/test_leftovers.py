"""`simulate()` fails on what a run leaves open: it would end at a moment that no seed decides."""

from collections.abc import AsyncGenerator, Callable

import pytest
import trio

from sim.determinism import LeftBehind, simulate
from sim.test_determinism import run


async def count() -> AsyncGenerator[int, None]:
    """One, two, three."""
    for number in (1, 2, 3):
        yield number


def test_an_open_generator_is_left_behind() -> None:
    """Its cleanup would run at an address-ordered moment after the run."""
    kept = []

    async def main() -> None:
        kept.append(count())
        await anext(kept[0])

    with pytest.raises(LeftBehind, match=r"left 1 open: async generator count$"):
        run(main)


def test_an_exhausted_generator_is_no_leftover() -> None:
    """Nor is one that was closed, even where something still refers to it."""
    kept = []

    async def main() -> list[int]:
        kept.extend([count(), count()])
        await anext(kept[1])
        await kept[1].aclose()
        return [number async for number in kept[0]]

    assert run(main) == [1, 2, 3]


def test_a_living_task_is_left_behind() -> None:
    """A task that outlives main belongs to nobody."""

    async def main() -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever, name="stray")
        await trio.sleep(1)

    with pytest.raises(LeftBehind, match="left 1 open: task stray"):
        run(main)


def test_the_callers_own_leftovers_are_asked_for() -> None:
    """What only the caller can see, like a connection that was not returned, counts too."""
    leftovers: list[Callable[[], list[str]]] = []

    async def main() -> None:
        leftovers.append(lambda: ["connection 3", "transaction 8"])

    with pytest.raises(LeftBehind, match="left 2 open: connection 3; transaction 8"):
        simulate(main, seed=1, horizon_s=1, wall_limit_s=60, leftovers=leftovers)
