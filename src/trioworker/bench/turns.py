"""Two things are compared by doing them in turns: what disturbs the machine disturbs both."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


async def in_turns(
    rounds: int, sides: Mapping[K, Callable[[], Awaitable[T]]]
) -> Mapping[K, list[T]]:
    """Do each of `sides` once per round, back and forth (a b, b a, a b, …); the answers by side."""
    answers: dict[K, list[T]] = {side: [] for side in sides}
    for turn in range(rounds):
        order = list(sides)
        for side in order if turn % 2 == 0 else reversed(order):
            answers[side].append(await sides[side]())
    return answers
