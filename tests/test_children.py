"""How results of children and steps are read."""

import gc
import weakref
from collections.abc import Callable

from trioworker.children import reader


class Callables:
    """Can be called, and has neither a hash nor a place for weak references."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # as of a class with __eq__ alone

    def __call__(self) -> int:
        """Something."""
        return 1


def made() -> Callable[[], list[int]]:
    """The function of a step, as each attempt makes its own."""
    seen = bytearray(1_000)

    def step() -> list[int]:
        return list(seen)

    return step


def test_what_is_read_is_what_the_hints_say() -> None:
    """Else what JSON gives, for whatever can be called."""

    def pair() -> tuple[int, str]:
        return 1, "one"

    assert reader(pair)('[1,"one"]') == (1, "one")
    assert reader(pair) is reader(pair)
    assert reader(pair)('"else"') == "else"
    assert reader(Callables())("[1]") == [1]


def test_a_function_is_not_kept_for_its_hints() -> None:
    """With it would go all that it sees: a worker would have the data of a thousand attempts."""
    step = made()
    assert reader(step)("[1]") == [1]
    gone = weakref.ref(step)
    del step
    gc.collect()
    assert gone() is None
