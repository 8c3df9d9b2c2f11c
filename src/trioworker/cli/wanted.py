"""What somebody wants enqueued: from flags, from a line of JSON, or from both.

Rule of this file: pure. What is left open by the line is as the flags say, what they leave open as
the function of the app says, and the rest is default.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, cast
from uuid import UUID

import msgspec

from trioworker.app import App, JobFunction
from trioworker.errors import UsageError
from trioworker.ids import new_id
from trioworker.model.job import DEFAULT_TAG, JobOptions, Kind, NewJob

NO_ARGS: Final = msgspec.Raw(b"{}")


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job; None means that nobody has said it yet. Times in seconds."""

    path: str
    args: msgspec.Raw | None = None
    kind: str | None = None
    tag: str | None = None
    priority: int | None = None
    scheduled_for: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    delay_s: float | None = None
    timeout_s: float | None = None
    dedicated: bool | None = None
    id: UUID | None = None

    def completing(self, line: str) -> "Wanted":
        """The job that `line`, a JSON object, describes; the rest is taken from here."""
        try:
            said = _decode(line)
        except msgspec.ValidationError as error:
            raise UsageError(f"this is not a job: {_plain(error)}") from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise UsageError(f"this is not JSON: {error}") from None
        fields = msgspec.structs.asdict(said)
        given = {name: value for name, value in fields.items() if value is not None}
        return msgspec.structs.replace(self, **given)


_decode: Final = msgspec.json.Decoder(Wanted).decode


def new_job(wanted: Wanted, app: App | None, *, awaited: bool) -> NewJob:
    """A job to enqueue, checked against `app` if there is one.

    Raises `UsageError` when it could not run as it stands.
    """
    kind = wanted.kind or "function"
    args = bytes(wanted.args or NO_ARGS)
    function = _function(app, wanted.path, args) if kind == "function" else None
    _check(wanted, kind)
    return NewJob(
        id=wanted.id or new_id(),
        kind=cast("Kind", kind),  # NewJob says so if it is none
        path=wanted.path,
        args=args,
        tag=_first(wanted.tag, function and function.tag, DEFAULT_TAG),
        priority=_first(wanted.priority, function and function.priority, 0),
        scheduled_for=_due(wanted),
        options=JobOptions(
            timeout_s=_first(wanted.timeout_s, function and function.timeout_s, None),
            dedicated=bool(wanted.dedicated),
        ),
        awaited=awaited,
    )


def parse_args(text: str) -> msgspec.Raw:
    """Arguments as typed in a shell. Raises `UsageError` when they are not JSON."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UsageError(
            f"the arguments are not JSON: {error}; quote them for the shell,"
            """ as '{"name": "world"}'"""
        ) from None
    return msgspec.Raw(text.encode())


def parse_time(text: str) -> datetime:
    """A moment; without a zone it is local time. Raises `UsageError`."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f"--at={text} is not a time; write it as 2030-01-31T08:00 or 2030-01-31T08:00+01:00"
        ) from None


def _function(app: App | None, path: str, args: bytes) -> JobFunction[..., Any] | None:
    if app is None:
        return None
    app.validate(path, args)
    return app.jobs[path]


def _check(wanted: Wanted, kind: str) -> None:
    if wanted.dedicated and kind != "script":
        raise UsageError(f"a {kind} has no dedicated process, only a script has; say --kind script")
    if wanted.timeout_s is not None and not 0 < wanted.timeout_s < math.inf:
        raise UsageError(f"a timeout of {wanted.timeout_s:g} s will not do; it must be above 0")
    if wanted.delay_s is not None and not 0 <= wanted.delay_s < math.inf:
        raise UsageError(f"a delay of {wanted.delay_s:g} s will not do; it must be 0 or more")
    if wanted.delay_s is not None and wanted.scheduled_for is not None:
        raise UsageError("a job is due at a time or after a delay, not both; drop one")


def _due(wanted: Wanted) -> datetime | None:
    if wanted.delay_s is None:
        return wanted.scheduled_for
    try:
        return _now() + timedelta(seconds=wanted.delay_s)
    except OverflowError:
        raise UsageError(f"a delay of {wanted.delay_s:g} s leads past all calendars") from None


def _now() -> datetime:
    """The moment an id is made is in its first 48 bits, so no other clock has to be read."""
    return datetime.fromtimestamp((new_id().int >> 80) / 1000, UTC)


def _first(*values: Any) -> Any:
    """The first that somebody has said; the last one if nobody has."""
    return next((value for value in values[:-1] if value is not None), values[-1])


def _plain(error: Exception) -> str:
    return str(error).replace("`", "'")
