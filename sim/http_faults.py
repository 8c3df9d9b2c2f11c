"""What can go wrong between an agent and its servers.

Rule of this file: names only, as in `sim.database.faults`. When and how often is `sim.plan`'s; what
each of them does to a request is `sim.network`'s.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class HttpKind(StrEnum):
    """The faults of one request."""

    DROPPED = "request dropped"
    CUT = "request cut in its middle"
    LATE = "request late"
    SLOW_BODY = "request body slow"
    TWICE = "request twice, the second unheard"
    TWICE_UNHEARD = "request twice, the first unheard"
    REPLY_DROPPED = "reply dropped"
    REPLY_LATE = "reply late"
    REPLY_CUT = "reply cut in its middle"
    UNAUTHORISED = "unauthorised on the way"
    TOO_LARGE = "too large on the way"
    TOO_MANY = "too many on the way"
    BROKEN = "broken on the way"
    BAD_GATEWAY = "bad gateway"
    AWAY = "unavailable on the way"


STATUSES: Final = {
    HttpKind.UNAUTHORISED: 401,
    HttpKind.TOO_LARGE: 413,
    HttpKind.TOO_MANY: 429,
    HttpKind.BROKEN: 500,
    HttpKind.BAD_GATEWAY: 502,
    HttpKind.AWAY: 503,
}
"""Those that are an answer of somebody in between, with its status."""


class HttpFault(NamedTuple):
    """A fault that happens now; `delay_s` is for those that take time."""

    kind: HttpKind
    delay_s: float
