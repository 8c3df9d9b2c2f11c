"""What a user can do when the database cannot be used: the one table from its codes to a mend.

Source of the codes: PostgreSQL documentation, appendix A. A code is looked up whole first, then by
its class. A line that could not be opened at all has no code.
"""

from typing import Final

from trioworker.errors import ConnectionLost, StoreError

NO_LINE: Final = "check DATABASE_URL, and that PostgreSQL runs there"

_BY_CODE: Final = {
    "25006": "name the primary in DATABASE_URL, not a standby",
    "42501": "use a user who may, or have it granted to this one",
    "3F000": "run `trioworker migrate` first",
    "42P01": "run `trioworker migrate` first",
    "42703": "run `trioworker migrate` first",
    "42883": "run `trioworker migrate` first",
    "57P03": "try again when it is ready",
}
_BY_CLASS: Final = {
    "08": NO_LINE,
    "28": "check user and password in DATABASE_URL",
    "3D": "create it, or name another in DATABASE_URL",
    "53": "give the server more of what it lacks",
    "57": NO_LINE,
}


def mend(error: StoreError) -> str | None:
    """What to do about what the server or the way to it said; None when its words say so."""
    if error.sqlstate is None:
        return NO_LINE if isinstance(error, ConnectionLost) else None
    return _BY_CODE.get(error.sqlstate) or _BY_CLASS.get(error.sqlstate[:2])
