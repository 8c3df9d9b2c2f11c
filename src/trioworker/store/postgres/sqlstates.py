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
    StatementTimeout,
    StoreError,
    UnknownStoreError,
)

_BY_CODE: Final[dict[str, type[StoreError]]] = {
    "25P03": ConnectionLost,  # idle_in_transaction_session_timeout ends the session
    "25P04": ConnectionLost,  # so does transaction_timeout
    "25006": ServerUnavailable,  # read-only transaction: we talk to a standby after a failover
    "40001": Contention,
    "40P01": Contention,
    "42501": Exhausted,  # insufficient privilege
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
