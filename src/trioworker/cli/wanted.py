"""What somebody wants enqueued: from flags, from a line of JSON, or from both.

Rule of this file: pure. What a line leaves out is as the flags say, what they leave out is as the
function of the app says, and the rest is default. null is a say, as None is in Python: none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from trioworker.app import App
from trioworker.enqueuing import check_kind
from trioworker.errors import UsageError
from trioworker.ids import new_id
from trioworker.model.job import Kind, NewJob
from trioworker.model.job_settings import JobSettings, resolve
from trioworker.model.options import (
    ON_CONFLICTS,
    Debounce,
    Handler,
    Limit,
    OnConflict,
    RetryPolicy,
    Unique,
)

NO_ARGS: Final = b"{}"
UNSAID: Final = msgspec.Raw()
SETTINGS: Final = tuple(JobSettings.__annotations__)

T = TypeVar("T")


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job; UNSET means that nobody has said it yet, as `UNSAID` does. Times in seconds.

    What may be said is what `Client.enqueue` takes; `unique` may be just the key.
    """

    path: str
    args: msgspec.Raw = UNSAID  # a Raw in a union with None decodes to None or not at all
    kind: str | UnsetType | None = UNSET
    scheduled_for: Annotated[datetime, msgspec.Meta(tz=True)] | UnsetType | None = UNSET
    delay_s: float | UnsetType | None = UNSET
    dedicated: bool | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET
    id: UUID | UnsetType | None = UNSET
    parent: UUID | UnsetType | None = UNSET
    tag: str | UnsetType | None = UNSET
    priority: int | UnsetType | None = UNSET
    timeout_s: float | UnsetType | None = UNSET
    deadline_s: float | UnsetType | None = UNSET
    retry: int | RetryPolicy | UnsetType | None = UNSET
    cache_ttl_s: float | UnsetType | None = UNSET
    limit: int | Limit | UnsetType | None = UNSET
    unique: str | Unique | UnsetType | None = UNSET
    debounce: Debounce | UnsetType | None = UNSET
    on_error: str | Handler | UnsetType | None = UNSET
    on_success: str | Handler | UnsetType | None = UNSET
    on_recovery: str | Handler | UnsetType | None = UNSET
    muted: bool | UnsetType | None = UNSET
    labels: Sequence[str] | UnsetType | None = UNSET
    restart: bool | UnsetType | None = UNSET
    delete_after_s: float | UnsetType | None = UNSET

    def completed_by(self, line: bytes) -> "Wanted":
        """The job that `line`, a JSON object, describes; what it leaves out is as here.

        Raises `UsageError`.
        """
        try:
            said = _decode(line)
        except (msgspec.ValidationError, UsageError) as error:
            raise UsageError(f"this is not a job: {_plain(error)}") from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise UsageError(f"this is not JSON: {error}") from None
        return msgspec.structs.replace(self, **said.given())

    def given(self) -> dict[str, Any]:
        """What somebody has said, by the names of the fields."""
        fields = msgspec.structs.asdict(self).items()
        return {name: value for name, value in fields if value is not UNSET and value != UNSAID}


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
    kind = _or_none(wanted.kind) or "function"
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
        id=_or_none(wanted.id) or new_id(),
        kind=cast("Kind", kind),  # NewJob says so if it is none
        path=wanted.path,
        args=args,
        tag=resolved.tag,
        priority=resolved.priority,
        scheduled_for=_or_none(wanted.scheduled_for),
        options=msgspec.structs.replace(
            resolved.options,
            dedicated=_or_none(wanted.dedicated) or False,
            language=_or_none(wanted.language),
        ),
        awaited=awaited,
        parent=_or_none(wanted.parent),
    )
    return Order(job, _or_none(wanted.delay_s), settings.get("deadline_s"))


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


def switched_off(names: Sequence[str] | None, said: Mapping[str, object]) -> Mapping[str, None]:
    """The settings that are to be none, whatever the app says of them.

    Raises `UsageError` when there is no such setting, or something else is `said` of it.
    """
    for name in names or ():
        if name not in SETTINGS:
            raise UsageError(f"--without={name} will not do; one of {', '.join(SETTINGS)}")
        if said.get(name) is not None:
            raise UsageError(
                f"--without={name} takes back what another flag says; drop one of them"
            )
    return dict.fromkeys(names or ())


def _check_args(app: App | None, path: str, args: bytes) -> None:
    if app is not None:
        app.validate(path, args)
    elif args.lstrip()[:1] not in {b"{", b"["}:
        raise UsageError(
            f"job '{path}': the arguments must be a JSON object (by name) or an array (by position)"
        )


def _check(wanted: Wanted, kind: str) -> None:
    check_kind(kind, wanted.path)
    delay_s = _or_none(wanted.delay_s)
    if _or_none(wanted.dedicated) and kind != "script":
        raise UsageError(f"only a script can be dedicated, not a {kind}; say --kind script")
    if delay_s is not None and not 0 <= delay_s < math.inf:
        raise UsageError(f"a delay of {delay_s:g} s will not do; it must be 0 or more")
    if delay_s is not None and _or_none(wanted.scheduled_for) is not None:
        raise UsageError("a job is due at a time or after a delay, not both; drop one")


def _said(wanted: Wanted) -> JobSettings:
    """What somebody has said, as settings."""
    said = {name: value for name, value in wanted.given().items() if name in SETTINGS}
    if isinstance(wanted.unique, str):
        said["unique"] = Unique(wanted.unique)
    return cast("JobSettings", said)


def _or_none(said: T | UnsetType | None) -> T | None:
    return None if said is UNSET else said


def _plain(error: Exception) -> str:
    return str(error).replace("`", "'")
