"""How a command runs what waits."""

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import trio

from trioworker import garbage

T = TypeVar("T")
A = TypeVarTuple("A")


def run_trio(main: Callable[[*A], Awaitable[T]], *arguments: *A) -> T:
    """What `main` returns.

    Ctrl-C ends it where it waits, and nowhere else: raised amid a callback of the driver's, while a
    connection is made, it would be swallowed there, or bring the interpreter down.
    """
    garbage.settle()
    return trio.run(main, *arguments, restrict_keyboard_interrupt_to_checkpoints=True)
