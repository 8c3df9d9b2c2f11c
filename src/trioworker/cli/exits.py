"""Exit statuses, and which error leads to which: the one table."""

from enum import IntEnum
from typing import Final

from trioworker.errors import (
    ConnectionLost,
    Exhausted,
    SchemaMismatch,
    ServerAway,
    ServerUnavailable,
    TrioworkerError,
    UsageError,
)


class ExitStatus(IntEnum):
    """How a command ends. What the shell adds for signals is its own."""

    OK = 0
    FAILED = 1
    """What was asked for failed: a job, a statement, or trioworker itself."""
    USAGE = 2
    """A flag, an argument or a setting will not do."""
    UNSAVED = 3
    """The worker stopped with results that it could not store."""
    UNREACHABLE = 4
    """The database, or the server of an agent, cannot be reached or not be used."""
    INTERRUPTED = 130
    """Ctrl-C, or the second signal to a worker."""


_BY_CLASS: Final[tuple[tuple[type[TrioworkerError], ExitStatus], ...]] = (
    (UsageError, ExitStatus.USAGE),
    (ConnectionLost, ExitStatus.UNREACHABLE),
    (ServerUnavailable, ExitStatus.UNREACHABLE),
    (SchemaMismatch, ExitStatus.UNREACHABLE),
    (Exhausted, ExitStatus.UNREACHABLE),
    (ServerAway, ExitStatus.UNREACHABLE),
)


def exit_status(error: TrioworkerError) -> ExitStatus:
    """The status that `error` ends a command with."""
    for kind, status in _BY_CLASS:
        if isinstance(error, kind):
            return status
    return ExitStatus.FAILED
