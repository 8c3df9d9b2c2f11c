"""Coroutines that mostly do not wait, without a task of Trio's until they do.

Rule of this file: whatever is begun here says `task_of_its_own` before it waits for anything; up to
there it runs at once, in whatever calls it, and takes neither a task nor a turn of the loop.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_WAITS: Final = object()
_begun_by_hand = 0


class Waits(Exception):
    """The coroutine has come to where it waits for something."""


def begun(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns, if it need not wait. Raises `Waits`; then `await rest(work)`."""
    global _begun_by_hand  # noqa: PLW0603 - one thread, one coroutine at a time
    _begun_by_hand += 1
    try:
        said = work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        _begun_by_hand -= 1
    assert said is _WAITS, "a wait without a task of its own"
    raise Waits


@coroutine
def task_of_its_own() -> Generator[object, None, None]:
    """Await this before the first wait."""
    if _begun_by_hand:
        yield _WAITS


@coroutine
def rest(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """The rest of a coroutine that waits, in the task that awaits this."""
    result: T = yield from work
    return result


@coroutine
def within(
    around: Callable[[Awaitable[T]], Coroutine[Any, Any, T | None]], work: Coroutine[Any, Any, T]
) -> Generator[Any, Any, T | None]:
    """Run `work`; what is left of it once it waits is run `around` itself, in a task."""
    try:
        return begun(work)
    except Waits:
        pass
    yield from task_of_its_own()
    result: T | None = yield from around(rest(work))
    return result
