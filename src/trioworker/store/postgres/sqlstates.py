"""What a SQLSTATE means for us: the one table from the server's codes to our error classes.

Source of the codes: PostgreSQL documentation, appendix A. A code is looked up whole first, then
by its class (the first two characters).
"""

from typing import Final

from trioworker.errors import (
    ConnectionLost,
    Contention,
    Exhausted,
    Refused,
    SchemaMismatch,
    ServerUnavailable,
    StatementOfJobTimeout,
    StatementTimeout,
    StoreError,
    UnknownStoreError,
)

NEVER_SENT: Final = "22000"
"""The driver's own code for an argument that it cannot encode."""
NO_RIGHT: Final = "42501"
INTERNAL_CLASS: Final = "XX"
"""Something in the server has gone wrong that should not."""

_BY_CODE: Final[dict[str, type[StoreError]]] = {
    "25P03": ConnectionLost,  # idle_in_transaction_session_timeout ends the session
    "25P04": ConnectionLost,  # so does transaction_timeout
    "25006": ServerUnavailable,  # read-only transaction: we talk to a standby after a failover
    "40001": Contention,
    "40P01": Contention,
    NO_RIGHT: Exhausted,
    "55P03": StatementTimeout,  # lock not available
    "57014": StatementTimeout,  # query cancelled by statement_timeout
    "57P01": ConnectionLost,  # this backend was terminated
    "57P02": ConnectionLost,  # another backend crashed and took this one along
    "57P03": ServerUnavailable,  # starting up, shutting down, or in recovery
    "57P05": ConnectionLost,
    "3F000": SchemaMismatch,
    "42P01": SchemaMismatch,
    "42703": SchemaMismatch,
    "42883": SchemaMismatch,
}
_BY_CLASS: Final[dict[str, type[StoreError]]] = {
    "08": ConnectionLost,
    "21": Refused,
    "22": Refused,
    "23": Refused,
    "28": Exhausted,  # invalid authorization
    "3D": Exhausted,  # no such database
    "53": Exhausted,
    "54": Refused,  # a limit of the program: too large, too deep, too many
    "57": ServerUnavailable,
    "58": Exhausted,
}


def error_class(sqlstate: str) -> type[StoreError]:
    """Our class for the server's code; `UnknownStoreError` for what is in no table."""
    return _BY_CODE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2]) or UnknownStoreError


def is_usable_after(error: StoreError) -> bool:
    """Whether a connection can be used again after an error.

    A server that answered with a code has rolled back and is ready for more, unless it takes no
    work: then the next connection may find another that does. What the driver refused to send it
    may have begun to ask for: the server would keep that transaction open, with its locks and its
    `now()`, until somebody uses the connection again.
    """
    answered = error.sqlstate not in (None, NEVER_SENT)
    return answered and not error.ambiguous and not isinstance(error, ServerUnavailable)


def of_user(error: BaseException, *, alive: bool) -> StoreError:
    """What an error means that a user's own statement met.

    The rest of the batch has no part in it, unless the server or the line to it has: what the
    server says of the text, and what the driver says of the values, no other try will mend; what
    it says of its own inside, another try may. `alive` says that the line is there still.
    """
    message = str(error)
    if not isinstance(error, StoreError) or (isinstance(error, ConnectionLost) and alive):
        return Refused(message, sqlstate=NEVER_SENT)
    if isinstance(error, StatementTimeout):
        return StatementOfJobTimeout(message, sqlstate=error.sqlstate)
    lacks = isinstance(error, Exhausted) and error.sqlstate != NO_RIGHT
    broken = (error.sqlstate or "")[:2] == INTERNAL_CLASS
    if lacks or broken or isinstance(error, ConnectionLost | ServerUnavailable | Contention):
        return error
    return Refused(message, sqlstate=error.sqlstate or NEVER_SENT)
