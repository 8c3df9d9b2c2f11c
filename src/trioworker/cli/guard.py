"""The one place where errors become lines.

Rule of this file: whatever a command raises ends here as one line on stderr and a status of
`ExitStatus`. A traceback is for whoever sets TRIOWORKER_DEBUG=1.
"""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Final

from trioworker.cli.exits import ExitStatus, exit_status
from trioworker.cli.output import complain
from trioworker.errors import TrioworkerError

DEBUG: Final = "TRIOWORKER_DEBUG"


def guarded(command: Callable[[], object]) -> None:
    """Run `command`, and exit when it raises."""
    try:
        command()
    except BaseException as error:  # noqa: BLE001 - the rule of this file
        sys.exit(_told(error))


def _told(error: BaseException) -> int | str | None:
    """Say what went wrong; returns the exit status."""
    cause = _cause(error)
    if isinstance(cause, SystemExit):
        return cause.code
    if os.environ.get(DEBUG) == "1":
        traceback.print_exception(error)
    if isinstance(cause, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    if isinstance(cause, TrioworkerError):
        complain(str(cause))
        return exit_status(cause)
    complain(f"this is a bug: {type(cause).__name__}: {cause} ({DEBUG}=1 shows where)")
    return ExitStatus.FAILED


def _cause(error: BaseException) -> BaseException:
    """The error itself, or the one of a group to act on: an interrupt, a bug, what we know."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return min((_cause(inner) for inner in error.exceptions), key=_rank)


def _rank(error: BaseException) -> int:
    """Bugs before errors we know, for these may follow from the bug."""
    if isinstance(error, Exception):
        return 2 if isinstance(error, TrioworkerError) else 1
    return 0
