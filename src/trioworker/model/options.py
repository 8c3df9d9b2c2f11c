"""What a job may say about the way it is run and about what follows from it.

Rule of this file: data and its bounds, in words a user can act on. Options are stored as JSON
beside the definition of a job; None, False and empty mean "nothing asked for" and are not stored,
but for the two that a function may say when its job is run: there None is stored, as a say.
"""

import math
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, Literal, cast, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from trioworker.errors import UsageError
from trioworker.model.bounds import (
    PATH_BYTES_MAX,
    TAG_BYTES_MAX,
    bounded_priority,
    bounded_text,
    check_text,
    check_whole_number,
)
from trioworker.model.flow_approval import Approval

KEY_BYTES_MAX: Final = 500
LABELS_MAX: Final = 50
LABEL_BYTES_MAX: Final = 200
DELAY_S_MAX: Final = 10 * 365 * 24 * 3600.0

HandlerOf = Literal["error", "success", "recovery"]
UniqueWhile = Literal["queued", "unfinished", "period"]
OnConflict = Literal["keep", "replace", "raise"]
DURINGS: Final[tuple[str, ...]] = get_args(UniqueWhile)
ON_CONFLICTS: Final[tuple[str, ...]] = get_args(OnConflict)


class _Option(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all parts of the options."""


class RetryPolicy(_Option, frozen=True):
    """How often and when a failed job is run again.

    `attempts` counts all, the first included; None means for ever and must be said with
    `forever=True`. The n-th pause is `delay_s * factor ** (n - 1)`, at most `delay_max_s`, all in
    seconds, and varies by up to `jitter` of itself in both directions. `only` names the errors that
    are retried (all when empty), `never` those that are not; names are those of the classes.
    `by_error` has policies of their own for errors by name, which have none of theirs.
    """

    attempts: int | None = None
    forever: bool = False
    delay_s: float = 1.0
    factor: float = 2.0
    delay_max_s: float = 3_600.0
    jitter: float = 0.1
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    by_error: Mapping[str, "RetryPolicy"] = {}

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        if self.attempts is None and not self.forever:
            raise UsageError(
                "a retry policy without a number of attempts would never end; give it attempts=…"
                " or say forever=True"
            )
        if self.attempts is not None:
            check_whole_number("the number of attempts", self.attempts)
        if self.attempts is not None and (self.forever or self.attempts < 1):
            raise UsageError(
                f"a retry policy of {self.attempts} attempts"
                f"{' that goes on for ever' * self.forever} will not do; at least 1, the first"
                " included"
            )
        within("the delay between attempts", self.delay_s, 0.0, DELAY_S_MAX)
        within("the longest delay between attempts", self.delay_max_s, 0.0, DELAY_S_MAX)
        within("the factor of a retry policy", self.factor, 1.0, 100.0)
        within("the jitter of a retry policy", self.jitter, 0.0, 1.0)
        for names in (self.only, self.never, self.by_error):
            _check_error_names(names)
        if not all(isinstance(policy, RetryPolicy) for policy in self.by_error.values()):
            raise UsageError("by_error of a retry policy has a RetryPolicy for each name")
        if any(policy.by_error for policy in self.by_error.values()):
            raise UsageError(
                "a policy for one error has no by_error of its own; put all names in one by_error"
            )


class Limit(_Option, frozen=True):
    """At most `slots` jobs with the same `key` run at a time, wherever their workers are.

    With `window_s`, a slot stays taken for that many seconds after its job ended, which bounds how
    many run in any such window. In `key`, `{name}` stands for the argument of that name; the
    default is the job's path.
    """

    slots: int
    key: str = ""
    window_s: float | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        check_whole_number("the number of slots", self.slots)
        if not 1 <= self.slots <= 2**31 - 1:
            raise UsageError(f"a limit of {self.slots} jobs would let none run; at least 1")
        check_key("limit", self.key)
        if self.window_s is not None:
            within("the window of a limit", self.window_s, 0.001, DELAY_S_MAX)


class Unique(_Option, frozen=True):
    """No two jobs with the same `key`: `during` which time, and what a second one does.

    "queued" is while the first is in the queue, until a worker claims it, "unfinished" until it has
    ended, "period" for `period_s` seconds from its enqueue; the first one's say counts. A second
    one is not stored ("keep": its enqueue returns the id of the first), or takes the place of the
    first if no worker has that ("replace", otherwise as "keep"), or its enqueue raises
    `DuplicateJob` ("raise"). In `key`, `{name}` stands for the argument of that name; the default
    is path and all arguments.
    """

    key: str = ""
    during: UniqueWhile = "unfinished"
    period_s: float | None = None
    on_conflict: OnConflict = "keep"

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        check_key("unique", self.key)
        one_of("time of a unique key", self.during, DURINGS)
        one_of("on_conflict of a unique key", self.on_conflict, ON_CONFLICTS)
        if (self.during == "period") != (self.period_s is not None):
            raise UsageError('a unique key has period_s=… just when it is during="period"')
        if self.period_s is not None:
            within("the period of a unique key", self.period_s, 0.001, DELAY_S_MAX)


class Debounce(_Option, frozen=True):
    """Of jobs with the same `key` that come within `delay_s` of one another only the last is run.

    Each one replaces the one before it and is due `delay_s` seconds later, but the job runs at the
    latest `max_wait_s` seconds after the first of them. `key` as in `Unique`.
    """

    delay_s: float
    key: str = ""
    max_wait_s: float | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        check_key("debounce", self.key)
        within("the delay of a debounce", self.delay_s, 0.001, DELAY_S_MAX)
        if self.max_wait_s is not None:
            within("the longest wait of a debounce", self.max_wait_s, self.delay_s, DELAY_S_MAX)


class Handler(_Option, frozen=True):
    """The function that is told how a job ended: enqueued with an `EndedJob` as its argument."""

    path: str
    tag: str = "default"
    priority: int = 0

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        bounded_text("path of a handler", self.path, PATH_BYTES_MAX)
        bounded_text("tag of a handler", self.tag, TAG_BYTES_MAX)
        bounded_priority(self.priority)


class StepOf(_Option, frozen=True):
    """Of which flow a job is a step, at which place `at` of it.

    `flow` and `root` are jobs: the flow's own, and the outermost one's that it is nested in.
    `shared` is that of the flow all of whose steps share one worker and one folder, if it is in
    such a flow, however deep.
    """

    flow: UUID
    root: UUID
    at: str
    shared: UUID | None = None


class JobOptions(_Option, frozen=True):
    """Everything a job may say about itself; what is left out is not asked for.

    How it is run: `timeout_s` bounds one attempt in seconds, `deadline` all of them; `dedicated`
    sends a script through the long-lived process of its script, and `language` overrides what the
    script's suffix says; `retry` says what a failure leads to; `cache_ttl_s` takes the result of an
    equal job that is not older. A timeout or policy that is left out is as the job's function says,
    None is none.

    When it may run: `limit`, `unique`, `debounce`.

    What follows: `on_error`, `on_success` and `on_recovery` are told of its end, unless `muted`;
    `labels` are stored with its completion; `restart` enqueues it again whenever it ends, at most
    every ten seconds, until it is cancelled; `delete_after_s` seconds after its end everything
    about it is deleted.

    What it is part of: `schedule` and `tick` name the schedule that enqueued it and the time that
    it stands for; `handles` makes it a handler, whose own end calls no other; the flow of which it
    is a `step` goes on with its end. A job of the kind approval waits for its `approval`.
    """

    timeout_s: float | UnsetType | None = UNSET
    dedicated: bool = False
    language: str | None = None
    retry: RetryPolicy | UnsetType | None = UNSET
    deadline: datetime | None = None
    cache_ttl_s: float | None = None
    limit: Limit | None = None
    unique: Unique | None = None
    debounce: Debounce | None = None
    on_error: Handler | None = None
    on_success: Handler | None = None
    on_recovery: Handler | None = None
    muted: bool = False
    labels: tuple[str, ...] = ()
    restart: bool = False
    delete_after_s: float | None = None
    schedule: str | None = None
    tick: datetime | None = None
    handles: HandlerOf | None = None
    step: StepOf | None = None
    approval: Approval | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        if self.deadline is not None and self.deadline.tzinfo is None:
            raise UsageError(f"the deadline {self.deadline} has no time zone; give it one")
        if self.timeout_s is not UNSET and self.timeout_s is not None:
            check_timeout(self.timeout_s)
        if self.unique is not None and self.debounce is not None:
            raise UsageError("a job is unique or debounced, not both; drop one of the two")
        if self.cache_ttl_s is not None:
            within("the time a result is kept", self.cache_ttl_s, 0.001, DELAY_S_MAX)
        if self.delete_after_s is not None:
            within("the time until a job is deleted", self.delete_after_s, 0.0, DELAY_S_MAX)
        if len(self.labels) > LABELS_MAX:
            raise UsageError(f"{len(self.labels)} labels are too many; at most {LABELS_MAX}")
        for label in self.labels:
            check_label(label)
        if self.restart:
            self._check_restart()

    def _check_restart(self) -> None:
        if self.deadline is not None:
            raise UsageError("a job that restarts has no deadline: it could never run after it")
        if self.debounce or (self.unique and self.unique.during == "period"):
            raise UsageError("a job that restarts is not debounced, nor unique for a period")
        if self.schedule is not None:
            raise UsageError("the job of a schedule does not restart; its next tick comes anyway")

    @property
    def own_timeout_s(self) -> float | None:
        """The timeout that the job itself says, if it says one."""
        return None if self.timeout_s is UNSET else self.timeout_s

    def policy(self, of_function: RetryPolicy | None) -> RetryPolicy | None:
        """What a failure leads to, `of_function` for a job that says nothing of it."""
        return of_function if self.retry is UNSET else self.retry

    @property
    def has_effects(self) -> bool:
        """Whether the end of the job stores more than the job's own rows."""
        return (
            self.limit is not None
            or self.cache_ttl_s is not None
            or self.on_error is not None
            or self.on_success is not None
            or self.on_recovery is not None
            or bool(self.labels)
            or self.restart
            or self.delete_after_s is not None
            or self.schedule is not None
            or self.step is not None
        )


NO_OPTIONS: Final = JobOptions()

_decode = msgspec.json.Decoder(JobOptions).decode


def options_of(stored: str | bytes | None) -> tuple[JobOptions, str | None]:
    """The options of a job as they are stored, and why they cannot be used, if they cannot."""
    if stored is None:
        return NO_OPTIONS, None
    try:
        return _decode(stored), None
    except (msgspec.DecodeError, UsageError, RecursionError) as error:
        return NO_OPTIONS, f"the stored options of this job cannot be used: {error}"


def within(what: str, value: float, least: float, most: float) -> None:
    """Raises `UsageError` unless `value` is a number between the bounds, both allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{what} is a number, not {value!r}")
    if not least <= value <= most:
        raise UsageError(f"{what} of {value:.12g} will not do; from {least:.12g} to {most:.12g}")


def one_of(what: str, said: str, choices: Collection[str]) -> None:
    """Raises `UsageError` unless what is said is one of the choices."""
    if said not in choices:
        raise UsageError(f"unknown {what} {said!r}; one of {', '.join(choices)}")


def check_timeout(timeout_s: float) -> None:
    """Raises `UsageError` when no attempt could have this timeout."""
    if not isinstance(timeout_s, int | float):
        raise UsageError(f"a timeout is a number of seconds, not {timeout_s!r}")
    if not 0 < timeout_s < math.inf:
        raise UsageError(f"a timeout of {timeout_s:g} s will not do; it must be above 0")


def _check_error_names(names: object) -> None:
    several = isinstance(names, Collection) and not isinstance(names, str)
    if not several or not all(isinstance(name, str) for name in cast("Collection[object]", names)):
        raise UsageError(f"a retry policy names errors by text, as ('OSError',), not {names!r}")


def check_label(label: str) -> None:
    """Raises `UsageError` when a job cannot have this label."""
    check_text("a label", label)
    bounded_text(f"label {label[:40]!r}" if label else "label", label, LABEL_BYTES_MAX)
    if not label.isascii() and label.encode("utf-8", "replace").decode() != label:
        raise UsageError(f"the label {label[:40]!r} is no text that can be stored")


def check_key(what: str, key: str) -> None:
    """Raises `UsageError` when a key is too long, or PostgreSQL cannot store it."""
    check_text(f"the {what} key", key)
    size = len(key.encode("utf-8", "surrogatepass"))
    if size > KEY_BYTES_MAX:
        raise UsageError(f"the {what} key is too long: {size} bytes, at most {KEY_BYTES_MAX}")
    if "\x00" in key:
        raise UsageError(f"the {what} key contains a NUL character, which PostgreSQL cannot store")
