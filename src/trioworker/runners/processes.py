"""Processes and their groups: how they are ended, and how their end is told.

Every process that runs a user's code leads a session of its own, so that one signal reaches it
and whatever it has started.
"""

import os
import signal
from contextlib import suppress
from typing import Final

import trio

TERM_GRACE_S: Final = 2.0
"""What a group has between SIGTERM and SIGKILL."""


def signal_group(process: trio.Process, number: signal.Signals) -> None:
    """Signal `process` and all that it has started; nothing happens when none is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def end_group(process: trio.Process) -> None:
    """End what is left of a group: the leader is asked first, then all are killed. Shielded."""
    with trio.CancelScope(shield=True):
        if process.returncode is None:
            signal_group(process, signal.SIGTERM)
            with trio.move_on_after(TERM_GRACE_S):
                await process.wait()
        signal_group(process, signal.SIGKILL)
        await process.wait()


def told(exit_status: int) -> str:
    """In words how a process ended, after its return code as Python gives it."""
    if exit_status >= 0:
        return f"exited with status {exit_status}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-exit_status).name}"
    return f"was killed by signal {-exit_status}"
