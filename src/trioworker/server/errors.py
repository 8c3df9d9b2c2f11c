"""What went wrong, as a status and one sentence in JSON.

Rule of this file: a sentence says what the caller can mend. What only we can mend, or what would
tell an attacker something, goes to the log and stays there.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from trioworker.errors import (
    DuplicateJob,
    LeaseLost,
    MayNotDecide,
    NothingToDecide,
    Refused,
    StoreError,
    TrioworkerError,
    UnknownFlow,
    UnknownJob,
    UnknownSchedule,
    UnknownScript,
    UnknownStoreError,
    UsageError,
)

RETRY_AFTER_S: Final = 1
OURS_FROM: Final = 500
"""Statuses from here on say that the caller is not to blame."""
A_BUG: Final = "something went wrong in the server, which is not your fault; its log says more"
NO_DATABASE: Final = "the database cannot be used at the moment; try again in a second"


class HttpError(Exception):
    """A request is refused with a status and one sentence; the class says both where it can."""

    status: int = 400
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        sentence: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status or self.status
        self.headers = headers or self.headers


class BadRequest(HttpError):
    """The request makes no sense as it stands."""


class Unauthorised(HttpError):
    """Nobody knows who sends this: the token or the key is missing, or will not do."""

    status = 401
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class Forbidden(HttpError):
    """Whoever sends this may not do it; sibling: `Unauthorised`."""

    status = 403


class TooSlow(HttpError):
    """The body did not come in the time that the server waits for one."""

    status = 408


class TooLarge(HttpError):
    """The body is larger than the server takes."""

    status = 413

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the body is too large; at most {bytes_max} bytes in one request")


class TooMany(HttpError):
    """There are too many requests at once."""

    status = 429
    headers = MappingProxyType({"Retry-After": str(RETRY_AFTER_S)})


class Unavailable(HttpError):
    """The server cannot do it now, and may be able to soon."""

    status = 503
    headers = MappingProxyType({"Retry-After": str(RETRY_AFTER_S)})


def as_http_error(error: Exception) -> HttpError:
    """What to tell about `error`; a bug of ours is told as one, without what it is about."""
    match error:
        case HttpError():
            return error
        case HTTPException():
            return _of_routing(error)
        case TrioworkerError() if (status := _of_class(error)) is not None:
            return HttpError(str(error), status=status)
        case UsageError():
            return BadRequest(str(error))
        case Refused():
            return BadRequest(f"the database refuses this: {error}")
        case StoreError() if not isinstance(error, UnknownStoreError):
            return Unavailable(NO_DATABASE)
        case _:
            return HttpError(A_BUG, status=500)


def is_foreseen(error: Exception) -> bool:
    """Whether it is the caller's affair, so that the log need not tell of it."""
    return as_http_error(error).status < OURS_FROM


def error_response(error: HttpError) -> Response:
    """The answer that says so."""
    body = msgspec.json.encode({"error": error.sentence})
    headers = {"Cache-Control": "no-store", **error.headers}
    return Response(body, error.status, headers, media_type="application/json")


def the_cause(error: BaseException) -> BaseException:
    """The error itself, or of a group that one which is no error we know: others follow from it."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [the_cause(inner) for inner in error.exceptions]
    return min(causes, key=lambda cause: isinstance(cause, TrioworkerError | HttpError))


def _of_class(error: TrioworkerError) -> int | None:
    """The status of an error whose class says all that there is to tell."""
    match error:
        case MayNotDecide():
            return 403
        case UnknownJob() | UnknownSchedule() | UnknownFlow() | UnknownScript():
            return 404
        case DuplicateJob() | LeaseLost() | NothingToDecide():
            return 409
        case _:
            return None


def _of_routing(error: HTTPException) -> HttpError:
    sentences = {
        404: "there is nothing at this address; /openapi.json says what there is",
        405: "this address does not take this method; /openapi.json says which it takes",
    }
    sentence = sentences.get(error.status_code, error.detail)
    return HttpError(sentence, status=error.status_code, headers=error.headers)
