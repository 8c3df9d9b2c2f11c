"""What a user may say about a job, at the function or at the enqueue, and what it comes to.

Rule of this file: pure. What the enqueue says goes before what the function says, and that before
what the app says: an argument that is None switches off what they say, one that is left out takes
it over. Names of arguments in keys are filled in here, once, when the job is made.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from string import Formatter
from types import NoneType
from typing import Any, Final, TypedDict, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET

from trioworker.errors import UsageError
from trioworker.model.bounds import TAG_BYTES_MAX, bounded_priority, bounded_text
from trioworker.model.job import DEFAULT_TAG
from trioworker.model.options import (
    DELAY_S_MAX,
    NO_OPTIONS,
    Debounce,
    Handler,
    JobOptions,
    Limit,
    RetryPolicy,
    Unique,
    check_key,
    within,
)

K = TypeVar("K", Limit, Unique, Debounce)


class JobSettings(TypedDict, total=False):
    """What may be said about a job; all of it may be left out. See `JobOptions` for the meaning.

    What is left out is as the function says, and what it leaves out as its app; None is none.
    `retry` is a policy, or just the number of attempts. `deadline_s` counts from the enqueue.
    `limit` may be just the number of slots. `on_error`, `on_success` and `on_recovery` name
    functions of the app. A higher `priority` is more urgent.
    """

    tag: str | None
    priority: int | None
    timeout_s: float | None
    deadline_s: float | None
    retry: RetryPolicy | int | None
    cache_ttl_s: float | None
    limit: Limit | int | None
    unique: Unique | None
    debounce: Debounce | None
    on_error: str | Handler | None
    on_success: str | Handler | None
    on_recovery: str | Handler | None
    muted: bool | None
    labels: Sequence[str] | None
    restart: bool | None
    delete_after_s: float | None


_TYPES: Final[Mapping[str, Any]] = get_type_hints(JobSettings)


_OF_STEPS: Final = ("timeout_s", "deadline_s", "retry")


def of_flows(settings: JobSettings) -> JobSettings:
    """What of an app's settings is meant for its flows: what bounds attempts is for their steps."""
    kept = {name: value for name, value in settings.items() if name not in _OF_STEPS}
    return cast("JobSettings", kept)


def check_of_flow(settings: Mapping[str, object]) -> None:
    """Raises `UsageError` for what cannot be said of a flow as a whole."""
    for name in _OF_STEPS:
        if settings.get(name) is not None:
            raise UsageError(f"a flow has no {name} of its own; say it of its steps")


class Resolved(msgspec.Struct, frozen=True):
    """What the settings of one job come to."""

    tag: str
    priority: int
    options: JobOptions


def check_settings(settings: JobSettings, handler: Callable[[str], Handler] = Handler) -> None:
    """Raises `UsageError` for what could never be, whatever the arguments of the job."""
    options = _options(settings, handler, None)
    bounded_text("tag", tag_of(settings), TAG_BYTES_MAX)
    bounded_priority(priority_of(settings))
    for what in ("limit", "unique", "debounce"):
        if (keyed := getattr(options, what)) is not None:
            _check_names(what, keyed.key)


def tag_of(settings: JobSettings) -> str:
    """Which workers may take the job."""
    tag = settings.get("tag")
    return DEFAULT_TAG if tag is None else tag


def priority_of(settings: JobSettings) -> int:
    """How urgent the job is."""
    return settings.get("priority") or 0


def retry_policy(said: RetryPolicy | int | None) -> RetryPolicy | None:
    """The policy that is meant. Raises `UsageError`."""
    return RetryPolicy(attempts=said) if isinstance(said, int) else said


def resolve(
    settings: JobSettings,
    *,
    path: str,
    args: bytes,
    handler: Callable[[str], Handler],
    now: datetime | None,
) -> Resolved:
    """The settings of the job `path` with these `args`, which are JSON.

    `handler` makes a handler of a function's name; `now` is by the database's clock, and needed for
    a `deadline_s` only. Raises `UsageError`.
    """
    options = _options(settings, handler, now)
    return Resolved(
        tag_of(settings),
        priority_of(settings),
        NO_OPTIONS if options == NO_OPTIONS else _with_keys(options, path, args),
    )


def whole_key(path: str, args: bytes) -> str:
    """The key of all jobs with this path and these arguments, whatever their order."""
    in_order = msgspec.json.encode(_read(args), order="sorted")
    return f"{path} {blake2b(in_order, digest_size=16).hexdigest()}"


def _read(args: bytes) -> Any:  # noqa: ANN401 - JSON
    """The arguments. Raises `UsageError` when they are too deep for keys to be made of them."""
    try:
        return msgspec.json.decode(args)
    except RecursionError:
        raise UsageError(
            "the arguments are nested too deeply for a key to be made of them"
        ) from None


def _options(
    settings: JobSettings, handler: Callable[[str], Handler], now: datetime | None
) -> JobOptions:
    _check_types(settings)
    limit = settings.get("limit")
    return JobOptions(
        timeout_s=settings.get("timeout_s", UNSET),
        deadline=_deadline(settings.get("deadline_s"), now),
        retry=retry_policy(settings["retry"]) if "retry" in settings else UNSET,
        cache_ttl_s=settings.get("cache_ttl_s"),
        limit=Limit(limit) if isinstance(limit, int) else limit,
        unique=settings.get("unique"),
        debounce=settings.get("debounce"),
        on_error=_handler(settings.get("on_error"), handler),
        on_success=_handler(settings.get("on_success"), handler),
        on_recovery=_handler(settings.get("on_recovery"), handler),
        muted=settings.get("muted") or False,
        labels=tuple(settings.get("labels") or ()),
        restart=settings.get("restart") or False,
        delete_after_s=settings.get("delete_after_s"),
    )


def _check_types(settings: JobSettings) -> None:
    """Raises `UsageError` for what is no setting, or is of a type that it never has."""
    for name, said in settings.items():
        if name not in _TYPES:
            raise UsageError(f"unknown setting {name!r}; one of {', '.join(_TYPES)}")
        try:
            msgspec.convert(said, _TYPES[name])
        except msgspec.ValidationError:
            may_be = " or ".join(map(_shown_type, get_args(_TYPES[name])))
            raise UsageError(f"{name}={said!r} will not do; it is {may_be}") from None


def _shown_type(type_: Any) -> str:  # noqa: ANN401 - of a hint
    if type_ is NoneType:
        return "None"
    name: str = type_.__name__
    return "a list of texts" if get_origin(type_) is Sequence else name


def _check_names(what: str, key: str) -> None:
    """Raises `UsageError` for more than names: a width alone could take up all the memory."""
    try:
        parts = list(Formatter().parse(key))
    except ValueError as error:
        raise UsageError(f"the {what} key {key!r} will not do: {error}") from None
    for _, name, spec, conversion in parts:
        if spec or conversion or not {".", "["}.isdisjoint(name or ""):
            raise UsageError(
                f"the {what} key {key!r} will not do: only names of arguments stand in braces"
            )


def _deadline(deadline_s: float | None, now: datetime | None) -> datetime | None:
    if deadline_s is None:
        return None
    within("a deadline", deadline_s, 0.001, DELAY_S_MAX)
    return None if now is None else now + timedelta(seconds=deadline_s)


def _handler(named: str | Handler | None, handler: Callable[[str], Handler]) -> Handler | None:
    return handler(named) if isinstance(named, str) else named


def _with_keys(options: JobOptions, path: str, args: bytes) -> JobOptions:
    if options.limit is None and options.unique is None and options.debounce is None:
        return options
    values = _read(args)
    whole = whole_key(path, args)
    return msgspec.structs.replace(
        options,
        limit=_keyed("limit", options.limit, values, path),
        unique=_keyed("unique", options.unique, values, whole),
        debounce=_keyed("debounce", options.debounce, values, whole),
    )


def _keyed(what: str, option: K | None, values: object, default: str) -> K | None:
    """The option with the names of arguments in its key filled in."""
    if option is None:
        return None
    key = option.key or default
    if option.key and "{" in option.key:
        key = _filled(what, option.key, values)
    check_key(what, key)
    return msgspec.structs.replace(option, key=key)


def _filled(what: str, key: str, values: object) -> str:
    if not isinstance(values, Mapping):
        raise UsageError(f"the {what} key {key!r} names arguments, so they must be given by name")
    _check_names(what, key)
    try:
        return key.format_map(_Shown(values))
    except (KeyError, IndexError) as error:
        raise UsageError(f"the {what} key {key!r} names no argument {error} of this job") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"the {what} key {key!r} will not do: {error}") from None


class _Shown(dict[str, Any]):
    """Arguments as text for a key: strings as they are, anything else as JSON."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(
            {
                name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
                for name, value in values.items()
            }
        )
