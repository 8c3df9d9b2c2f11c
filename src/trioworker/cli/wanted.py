"""What somebody wants enqueued: from flags, from a line of JSON, or from both.

Rule of this file: pure. What a line leaves open is as the flags say, what they leave open is as the
function of the app says, and the rest is default.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, cast, get_args
from uuid import UUID

import msgspec

from trioworker.app import App
from trioworker.errors import UsageError
from trioworker.ids import new_id
from trioworker.model.job import Kind, NewJob
from trioworker.model.job_settings import JobSettings, resolve
from trioworker.model.options import Debounce, Handler, OnConflict, RetryPolicy, Unique

NO_ARGS: Final = b"{}"
UNSAID: Final = msgspec.Raw()
ON_CONFLICTS: Final[tuple[str, ...]] = get_args(OnConflict)


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job; None means that nobody has said it yet, as `UNSAID` does. Times in seconds.

    `retry` is a policy or just the number of attempts; `deadline_s` counts from the enqueue.
    `unique` may be just the key.
    """

    path: str
    args: msgspec.Raw = UNSAID  # a Raw in a union with None decodes to None or not at all
    kind: str | None = None
    tag: str | None = None
    priority: int | None = None
    scheduled_for: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    delay_s: float | None = None
    timeout_s: float | None = None
    deadline_s: float | None = None
    retry: int | RetryPolicy | None = None
    unique: str | Unique | None = None
    debounce: Debounce | None = None
    dedicated: bool | None = None
    language: str | None = None
    id: UUID | None = None

    def completed_by(self, line: bytes) -> "Wanted":
        """The job that `line`, a JSON object, describes; what it leaves open is as here.

        Raises `UsageError`.
        """
        try:
            said = _decode(line)
        except (msgspec.ValidationError, UsageError) as error:
            raise UsageError(f"this is not a job: {_plain(error)}") from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise UsageError(f"this is not JSON: {error}") from None
        fields = msgspec.structs.asdict(said).items()
        given = {name: v for name, v in fields if v is not None and v != UNSAID}
        return msgspec.structs.replace(self, **given)


_decode: Final = msgspec.json.Decoder(Wanted).decode


@dataclass(frozen=True)
class Order:
    """A job that has been checked; its delay and its deadline count from when it is stored."""

    job: NewJob
    delay_s: float | None
    deadline_s: float | None = None

    def due(self, now: datetime) -> NewJob:
        """The job as it is stored at `now`. Raises `UsageError`."""
        job = self.job
        if self.deadline_s is not None:
            deadline = now + timedelta(seconds=self.deadline_s)
            options = msgspec.structs.replace(job.options, deadline=deadline)
            job = msgspec.structs.replace(job, options=options)
        if self.delay_s is None:
            return job
        try:
            moment = now + timedelta(seconds=self.delay_s)
        except OverflowError:
            raise UsageError(f"a delay of {self.delay_s:g} s leads past all calendars") from None
        return msgspec.structs.replace(job, scheduled_for=moment)


def order(wanted: Wanted, app: App | None, *, awaited: bool) -> Order:
    """Check what is wanted, against `app` as well if there is one.

    Raises `UsageError` when it could not run as it stands.
    """
    kind = wanted.kind or "function"
    args = bytes(wanted.args) or NO_ARGS
    if kind == "function":
        _check_args(app, wanted.path, args)
    _check(wanted, kind)
    settings = ({} if app is None else app.settings_of(wanted.path, kind)) | _said(wanted)
    resolved = resolve(
        settings,
        path=wanted.path,
        args=args,
        handler=Handler if app is None else app.handler,
        now=None,
    )
    job = NewJob(
        id=wanted.id or new_id(),
        kind=cast("Kind", kind),  # NewJob says so if it is none
        path=wanted.path,
        args=args,
        tag=resolved.tag,
        priority=resolved.priority,
        scheduled_for=wanted.scheduled_for,
        options=msgspec.structs.replace(
            resolved.options, dedicated=bool(wanted.dedicated), language=wanted.language
        ),
        awaited=awaited,
    )
    return Order(job, wanted.delay_s, settings.get("deadline_s"))


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


def parse_time(text: str, *, flag: str = "--at") -> datetime:
    """A moment; without a zone it is local time. Raises `UsageError`."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{flag}={text} is not a time; write it as 2030-01-31T08:00 or 2030-01-31T08:00+01:00"
        ) from None


def parse_unique(key: str | None, during: str | None, on_conflict: str | None) -> Unique | None:
    """The unique key as flags say it; `during` is a word or a number of seconds.

    Raises `UsageError`.
    """
    if key is None:
        if during is not None or on_conflict is not None:
            raise UsageError("--unique-while and --on-duplicate go with --unique KEY")
        return None
    if on_conflict not in {None, *ON_CONFLICTS}:
        raise UsageError(
            f"--on-duplicate={on_conflict} will not do; one of {', '.join(ON_CONFLICTS)}"
        )
    then = cast("OnConflict", on_conflict or "keep")
    match during:
        case None | "unfinished":
            return Unique(key, "unfinished", on_conflict=then)
        case "queued":
            return Unique(key, "queued", on_conflict=then)
    try:
        return Unique(key, "period", float(during), on_conflict=then)
    except ValueError:
        raise UsageError(
            f"--unique-while={during} will not do; queued, unfinished, or a number of seconds"
        ) from None


def _check_args(app: App | None, path: str, args: bytes) -> None:
    if app is not None:
        app.validate(path, args)
    elif args.lstrip()[:1] not in {b"{", b"["}:
        raise UsageError(
            f"job '{path}': the arguments must be a JSON object (by name) or an array (by position)"
        )


def _check(wanted: Wanted, kind: str) -> None:
    if wanted.dedicated and kind != "script":
        raise UsageError(f"only a script can be dedicated, not a {kind}; say --kind script")
    if wanted.timeout_s is not None and not 0 < wanted.timeout_s < math.inf:
        raise UsageError(f"a timeout of {wanted.timeout_s:g} s will not do; it must be above 0")
    if wanted.delay_s is not None and not 0 <= wanted.delay_s < math.inf:
        raise UsageError(f"a delay of {wanted.delay_s:g} s will not do; it must be 0 or more")
    if wanted.delay_s is not None and wanted.scheduled_for is not None:
        raise UsageError("a job is due at a time or after a delay, not both; drop one")


def _said(wanted: Wanted) -> JobSettings:
    """What somebody has said, as settings."""
    names = ("tag", "priority", "timeout_s", "deadline_s", "retry", "debounce")
    said = {name: getattr(wanted, name) for name in names}
    said["unique"] = Unique(wanted.unique) if isinstance(wanted.unique, str) else wanted.unique
    return cast("JobSettings", {name: value for name, value in said.items() if value is not None})


def _plain(error: Exception) -> str:
    return str(error).replace("`", "'")
