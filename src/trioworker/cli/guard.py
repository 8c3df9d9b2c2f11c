"""The one place where errors become lines.

Rule of this file: whatever a command raises ends here as one line on stderr and a status of
`ExitStatus`. A traceback is for whoever sets TRIOWORKER_DEBUG=1.
"""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final, cast

import typer

from trioworker.cli.exits import ExitStatus, exit_status
from trioworker.cli.mends import mend
from trioworker.cli.output import begin_output, complain, finish_output
from trioworker.errors import StoreError, TrioworkerError

DEBUG: Final = "TRIOWORKER_DEBUG"

# Typer shows of its errors only the leaves; this is the base of those about flags and arguments.
_MISUSE: Final = cast("type[Any]", typer.BadParameter.__mro__[1])


def guarded(command: Callable[[], object]) -> None:
    """Run `command` and exit: as it says, or as what it raises says."""
    status: int | str | None = ExitStatus.OK
    try:
        begin_output()
        command()
    except BaseException as error:  # noqa: BLE001 - the rule of this file
        status = _told(error)
    try:
        finish_output()
    except OSError as error:
        status = status or _told(error)
    sys.exit(status)


def _told(error: BaseException) -> int | str | None:
    """Say what went wrong; returns the exit status."""
    cause = _cause(error)
    if isinstance(cause, SystemExit):
        return cause.code
    if os.environ.get(DEBUG) == "1":
        traceback.print_exception(error)
    if isinstance(cause, KeyboardInterrupt | typer.Abort):
        return ExitStatus.INTERRUPTED
    if isinstance(cause, BrokenPipeError):
        return ExitStatus.FAILED  # whoever read our output has read enough
    if isinstance(cause, _MISUSE):
        return _told_misuse(cause)
    if isinstance(cause, TrioworkerError):
        complain(_with_mend(cause))
        return exit_status(cause)
    complain(f"{_unforeseen(cause)} ({DEBUG}=1 shows where)")
    return ExitStatus.FAILED


def _told_misuse(error: Any) -> ExitStatus:  # noqa: ANN401 - see _MISUSE
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return ExitStatus.USAGE
    said = error.format_message().rstrip(".")
    command = error.ctx.command_path if error.ctx else "trioworker"
    complain(f"{said[:1].lower()}{said[1:]}; `{command} --help` shows what there is")
    return ExitStatus.USAGE


def _with_mend(error: TrioworkerError) -> str:
    advice = mend(error) if isinstance(error, StoreError) else None
    return f"the database cannot be used: {error}; {advice}" if advice else str(error)


def _unforeseen(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"the system does not play along: {error}"
    return f"this is a bug: {type(error).__name__}: {error}"


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
