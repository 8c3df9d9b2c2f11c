"""What the driver raises, as errors of ours.

Rule of this file: it is the one place where an error of the driver is looked at, so that none
leaves `database.py`. Types are looked at besides codes.
"""

from typing import Final

import asyncpg

from trioworker.errors import (
    ConnectionLost,
    Contention,
    Refused,
    SettingsError,
    StatementTimeout,
    StoreError,
    UnknownStoreError,
)
from trioworker.store.postgres.sqlstates import NEVER_SENT, error_class

POOLER_SAYS: Final = "unsupported startup parameter"
"""What PgBouncer says to a connection whose settings it cannot keep."""


class translated:  # noqa: N801 - reads as a phrase: with translated()
    """Turns what the driver raises into our errors, at the one place where it can be raised."""

    def __init__(self, *, connecting: bool = False) -> None:
        self._connecting = connecting

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _tb: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, StoreError):
            raise translate(error, connecting=self._connecting) from error


def translate(error: Exception, *, connecting: bool) -> BaseException:
    """The error of ours for an error of the driver, or `error` itself when it is neither's.

    Types are looked at besides codes: asyncpg raises an InterfaceError without a code for COMMIT
    on a dead session, an InternalClientError for a statement on a terminated backend, and a plain
    TimeoutError when the server does not answer in time.
    """
    if isinstance(error, asyncpg.InvalidCachedStatementError | asyncpg.OutdatedSchemaCacheError):
        # A table was altered meanwhile; the driver has noticed, and prepares anew.
        return Contention(_one_line(error), sqlstate=getattr(error, "sqlstate", NEVER_SENT))
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = getattr(error, "sqlstate", None)
        kind = error_class(sqlstate or "")
        if connecting and issubclass(kind, UnknownStoreError | Refused):
            return _bad_address(error)  # a parameter after its ? that the server does not know
        lost = issubclass(kind, ConnectionLost)
        return kind(_one_line(error), sqlstate=sqlstate, ambiguous=lost and not connecting)
    if isinstance(error, ValueError) and connecting:
        return _bad_address(error)
    if isinstance(error, TimeoutError):
        late = "the database did not answer in time"
        return ConnectionLost(late) if connecting else StatementTimeout(late, ambiguous=True)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError):
        return ConnectionLost(_one_line(error), ambiguous=not connecting)
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return Refused(_one_line(error))
    return error


def _bad_address(error: Exception) -> SettingsError:
    return SettingsError(
        f"the database's address cannot be used: {_one_line(error)};"
        " write it as postgresql://user:password@host:port/database"
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def is_of_pooler(error: BaseException | None) -> bool:
    """Whether the driver's error says that a pooler stands between us and the server."""
    return isinstance(error, asyncpg.ProtocolViolationError) and POOLER_SAYS in str(error)
