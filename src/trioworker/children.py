"""Children of functions: how they are asked for, and what is made of what came of them.

Rule of this file: it does nothing itself. Who does, and how a function in a thread or on asyncio
gets there, is the line's that whoever runs the job brings.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import (
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    ParamSpec,
    Protocol,
    TypeVar,
    get_type_hints,
)
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

from trioworker.errors import ChildCancelled, ChildFailed, UsageError
from trioworker.model.job import Kind
from trioworker.model.job_settings import JobSettings
from trioworker.model.outcome import JobError
from trioworker.model.workflow import GONE, STEP_BYTES_MAX, ChildEnd

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

Flavour = Literal["async", "asyncio", "thread", "none"]
Arguments = Mapping[str, Any] | Sequence[Any]

NO_CHILDREN: Final = (
    "this job can neither enqueue children nor store steps: it takes a chunk of jobs, or runs in a"
    " process of its own; write it as a function of the flavour async, asyncio or thread"
)


class Registered(Protocol[P, R_co]):
    """A function that is a job."""

    name: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself."""
        ...


NO_SETTINGS: Final[JobSettings] = JobSettings()


class How(NamedTuple):
    """What is said of a child beside its arguments."""

    key: str | None = None
    kind: Kind = "function"
    scheduled_for: datetime | None = None
    delay_s: float | None = None
    dedicated: bool = False
    language: str | None = None
    settings: JobSettings = NO_SETTINGS


class Asked(NamedTuple):
    """A child that is asked for. Its arguments are given by position, by name, or both."""

    path: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    how: How


class Backend(Protocol):
    """Who does what is asked, on Trio. All of it raises `UsageError` for what cannot be."""

    async def enqueue(self, asked: Sequence[Asked]) -> Sequence[UUID]:
        """Enqueue children, or find those that were; their ids, in order."""
        ...

    async def ends(self, ids: Sequence[UUID], *, all_of_them: bool) -> Mapping[UUID, ChildEnd]:
        """How they have ended, in the order in which they did; see `Workflow.ends`."""
        ...

    async def begin_step(self, name: str) -> str | None:
        """The result of the step, if it is stored: JSON."""
        ...

    async def end_step(self, name: str, result: str) -> None:
        """Store the result of the step."""
        ...

    def leave_step(self, name: str) -> None:
        """The step came to nothing, and may be begun once more."""
        ...


class Line(Protocol):
    """The way from a function to its backend, from wherever it runs."""

    @property
    def flavour(self) -> Flavour:
        """Where the function runs."""
        ...

    @property
    def backend(self) -> Backend:
        """What is at its end. Raises `UsageError` when there is nothing."""
        ...

    async def ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Await it there, from a coroutine."""
        ...

    def ask_from_thread(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Wait for it here, in a thread."""
        ...


class NoLine:
    """The line of a job that has none."""

    flavour: Flavour = "none"

    @property
    def backend(self) -> Backend:
        """Raises `UsageError`."""
        raise UsageError(NO_CHILDREN)

    async def ask(self, ask: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - see `backend`
        """Raises `UsageError`."""
        raise UsageError(NO_CHILDREN)

    def ask_from_thread(self, ask: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - as above
        """Raises `UsageError`."""
        raise UsageError(NO_CHILDREN)


NO_LINE: Final = NoLine()


class AnyChild(Generic[R]):
    """A child: its `id`, and the `path` that it was enqueued under."""

    def __init__(self, id_: UUID, path: str, line: Line, read: Callable[[str], R]) -> None:
        self.id = id_
        self.path = path
        self._line = line
        self._read = read

    def __repr__(self) -> str:
        return f"<child {self.path!r} {self.id}>"

    def value(self, end: ChildEnd) -> R:
        """What it returned. Raises `ChildFailed` when it ended otherwise."""
        if end.status == "success":
            return self._read("null" if end.result is None else end.result)
        raise self._failure(end)

    def _failure(self, end: ChildEnd) -> ChildFailed:
        error = end.error or JobError("Unknown", "no reason was stored")
        if end.status == GONE:
            error = JobError("Gone", "it does not exist any more, and nor does its result")
        kind = ChildCancelled if end.status == "canceled" else ChildFailed
        return kind(
            self.id,
            path=self.path,
            status=end.status,
            name=error.name,
            reason=error.message,
            traceback=error.traceback,
        )

    def _ask(self) -> Callable[[], Awaitable[Mapping[UUID, ChildEnd]]]:
        return partial(self._line.backend.ends, [self.id], all_of_them=True)


class Child(AnyChild[R]):
    """A child of a function that is a coroutine: await it, and you have its result."""

    def __await__(self) -> Generator[Any, Any, R]:
        """The same as to await `result()`."""
        return self.result().__await__()

    async def result(self) -> R:
        """Wait until it has ended; what it returned. Raises `ChildFailed`, `ChildCancelled`."""
        return self.value((await self._line.ask(self._ask()))[self.id])


class SyncChild(AnyChild[R]):
    """A child of a function in a thread."""

    def result(self) -> R:
        """Wait until it has ended; what it returned. Raises `ChildFailed`, `ChildCancelled`."""
        return self.value(self._line.ask_from_thread(self._ask())[self.id])


def asked_for(
    how: How,
    function: Any,  # noqa: ANN401 - `Registered` or a path
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> tuple[Asked, Callable[[str], Any]]:
    """The child that is asked for, and how its result is read."""
    if isinstance(function, str):
        return Asked(function, args, kwargs, how), msgspec.json.decode
    name = getattr(function, "name", None)
    if not isinstance(name, str):
        raise UsageError(f"{function!r} is no job; a child is a function of the app, or its name")
    return Asked(name, args, kwargs, how), reader(getattr(function, "function", function))


def each_asked_for(
    how: How,
    function: Any,  # noqa: ANN401 - as above
    calls: Iterable[Arguments],
) -> tuple[list[Asked], Callable[[str], Any]]:
    """The same of one child for each of `calls`."""
    asked: list[Asked] = []
    read: Callable[[str], Any] = msgspec.json.decode
    for call in calls:
        if isinstance(call, Mapping):
            one, read = asked_for(how, function, (), call)
        else:
            one, read = asked_for(how, function, call, {})
        asked.append(one)
    if how.key is not None:
        raise UsageError("several children cannot have one key; enqueue each with its own")
    return asked, read


def values(children: Sequence[AnyChild[R]], ends: Mapping[UUID, ChildEnd]) -> Sequence[R]:
    """The results in the order of `children`. Raises `ChildFailed` for the first that failed."""
    by_id = {child.id: child for child in children}
    for id_, end in ends.items():
        if end.status != "success":
            by_id[id_].value(end)
    return [child.value(ends[child.id]) for child in children]


def values_or_errors(
    children: Sequence[AnyChild[R]], ends: Mapping[UUID, ChildEnd]
) -> Sequence[R | ChildFailed]:
    """The results in the order of `children`, with the failures in the places of theirs."""
    found: list[R | ChildFailed] = []
    for child in children:
        try:
            found.append(child.value(ends[child.id]))
        except ChildFailed as error:
            found.append(error)
    return found


# Weak, because the function of a step is often made anew in each attempt, with all that it sees.
_readers: Final[WeakKeyDictionary[Callable[..., Any], Callable[[str], Any]]] = WeakKeyDictionary()


def reader(function: Callable[..., Any]) -> Callable[[str], Any]:
    """How the JSON that the function has returned becomes what its hints say that it returns.

    Where they say nothing, or something that it is not, it is what JSON gives.
    """
    try:
        return _readers[function]
    except KeyError:
        _readers[function] = made = _reader(function)
        return made
    except TypeError:  # it has no hash, or no place for weak references
        return _reader(function)


def _reader(function: Callable[..., Any]) -> Callable[[str], Any]:
    try:
        hint = get_type_hints(function, include_extras=True)["return"]
        decode = msgspec.json.Decoder(hint).decode
    except Exception:  # noqa: BLE001 - hints are the user's code
        return msgspec.json.decode

    def read(text: str) -> Any:  # noqa: ANN401 - whatever it is
        try:
            return decode(text)
        except (msgspec.DecodeError, RecursionError):
            return msgspec.json.decode(text)

    return read


def written(name: str, value: object) -> str:
    """The result of a step as it is stored. Raises `UsageError` for one that cannot be."""
    try:
        text = msgspec.json.encode(value).decode()
    except Exception as error:
        kind = type(value).__qualname__
        raise UsageError(
            f"step {name!r} returned a {kind} that cannot be written as JSON: {error}"
        ) from error
    if len(text) > STEP_BYTES_MAX:
        raise UsageError(
            f"step {name!r} returned {len(text):,} bytes of JSON; at most {STEP_BYTES_MAX:,}"
        )
    return text
