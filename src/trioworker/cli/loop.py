"""How a command runs what waits."""

import gc
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
A = TypeVarTuple("A")


def run_trio(main: Callable[[*A], Awaitable[T]], *arguments: *A) -> T:
    """What `main` returns.

    Ctrl-C ends it where it waits, and nowhere else: raised amid a callback of the driver's, while a
    connection is made, it would be swallowed there, or bring the interpreter down.

    What was imported stays as long as the program. The garbage collector is told so: to look
    through all of it took 70 ms now and then, in which nothing else was done.
    """
    gc.freeze()
    return trio.run(main, *arguments, restrict_keyboard_interrupt_to_checkpoints=True)
