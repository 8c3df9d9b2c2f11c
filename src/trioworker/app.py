"""What a user writes jobs with: an `App` is the list of functions that a worker may run.

Rule of this file: it describes jobs and checks their arguments. It runs nothing and knows no
database, so a program that only enqueues may import it.
"""

import importlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from functools import cached_property, update_wrapper
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final, Generic, Literal, ParamSpec, TypeVar, Unpack, get_args, overload

from trioworker.context import Call, JobContext
from trioworker.errors import InvalidArguments, UsageError
from trioworker.model.arguments import Signature
from trioworker.model.chunk_arguments import LINGER_S, Chunking, ChunkSignature
from trioworker.model.follow_ups import A_CALL_OF_A_HANDLER
from trioworker.model.job_settings import (
    JobSettings,
    check_settings,
    priority_of,
    retry_policy,
    tag_of,
)
from trioworker.model.options import Handler, RetryPolicy
from trioworker.scheduling import Scheduling

__all__ = [
    "FLAVOURS",
    "App",
    "Call",
    "Flavour",
    "JobContext",
    "JobFunction",
    "RetryIf",
    "load_app",
]

P = ParamSpec("P")
R = TypeVar("R")

RetryIf = Callable[[BaseException], bool]
"""Gets the exception that left a job and says whether another attempt is of any use."""

Flavour = Literal["async", "asyncio", "thread", "process"]
FLAVOURS: Final[tuple[str, ...]] = get_args(Flavour)

NAMES_SHOWN_MAX: Final = 10

_NOT_THEIRS: Final = ("<frozen ", sysconfig.get_path("stdlib"), str(Path(__file__).parent))
"""How the names of files begin that are Python's own, or ours."""


class JobFunction(Generic[P, R]):
    """A function that is a job too: still called as the plain function it is.

    `flavour` says where it runs: "async" on Trio, "asyncio" on an asyncio loop, "thread" in a
    thread, "process" in a process of its own. `settings` are what a job gets that is enqueued
    without saying otherwise; its app's are among them. `retry_if` decides about its exceptions,
    where the function runs; None for no such say. With a `chunking` it takes a list of calls.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str,
        flavour: Flavour,
        settings: JobSettings,
        retry_if: RetryIf | None = None,
        chunking: Chunking | None = None,
    ) -> None:
        self.function = function
        self.chunking = chunking
        self.retry_if = retry_if
        self.name = name
        self.flavour: Flavour = flavour
        self.settings = settings
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself: no queue, no worker."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<job {self.name!r}: {self.flavour} {self.where}>"

    @property
    def tag(self) -> str:
        """Which workers may take the job, unless it says otherwise."""
        return tag_of(self.settings)

    @property
    def priority(self) -> int:
        """How urgent the job is, unless it says otherwise."""
        return priority_of(self.settings)

    @property
    def timeout_s(self) -> float | None:
        """How many seconds an attempt may take, unless the job says otherwise."""
        return self.settings.get("timeout_s")

    @property
    def retry(self) -> RetryPolicy | None:
        """What a failure leads to, unless the job says otherwise."""
        return retry_policy(self.settings.get("retry"))

    @property
    def where(self) -> str:
        """Module and name of the function, for messages."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @cached_property
    def signature(self) -> Signature | ChunkSignature:
        """How JSON becomes a call. Read late, when all names in the type hints exist.

        Raises `UsageError` when an argument can have no value in JSON.
        """
        if self.chunking is not None:
            return ChunkSignature(self.name, self.function, call_type=Call)
        return Signature(self.name, self.function, context_type=JobContext)


class App(Scheduling):
    """A registry of jobs by name. `settings` are for all of them, unless a job says otherwise.

    >>> app = App()
    >>> @app.job
    ... async def greet(name: str) -> str:
    ...     return f"hello {name}"
    """

    def __init__(self, **settings: Unpack[JobSettings]) -> None:
        super().__init__()
        check_settings(settings)
        self.settings = settings
        self._jobs: dict[str, JobFunction[..., Any]] = {}
        self._handlers: dict[str, Handler] = {}
        self.jobs: Mapping[str, JobFunction[..., Any]] = MappingProxyType(self._jobs)

    @overload
    def job(self, function: Callable[P, R], /) -> JobFunction[P, R]: ...

    @overload
    def job(
        self,
        *,
        name: str | None = None,
        flavour: Flavour | None = None,
        retry_if: RetryIf | None = None,
        chunk: int | None = None,
        linger_s: float | None = None,
        **settings: Unpack[JobSettings],
    ) -> Callable[[Callable[P, R]], JobFunction[P, R]]: ...

    def job(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        flavour: Flavour | None = None,
        retry_if: RetryIf | None = None,
        chunk: int | None = None,
        linger_s: float | None = None,
        **settings: Unpack[JobSettings],
    ) -> Any:
        """Register a function as a job; usable bare and with keyword arguments.

        `name` is what jobs are enqueued under, by default the function's own. `flavour` defaults
        to "async" for `async def` and to "thread" for `def`. `retry_if` is called with the
        exception that left the job, in the process that ran it; where it says False, the policy
        `retry` is not asked. With `chunk` the function takes a list of up to so many calls, the
        first of which waits `linger_s` seconds for more, and returns a list with a result or an
        exception for each. Raises `UsageError` when the name is taken, the flavour or `retry_if`
        does not fit the function, or a setting could never be.
        """

        def register(function: Callable[..., Any]) -> JobFunction[..., Any]:
            called = name or function.__name__
            return self._register(
                JobFunction(
                    function,
                    name=called,
                    flavour=_flavour(function, flavour),
                    settings={**self.settings, **settings},
                    retry_if=retry_if,
                    chunking=_chunking(called, chunk, linger_s),
                )
            )

        return register if function is None else register(function)

    def validate(self, path: str, args: str | bytes) -> None:
        """Check a job before it is enqueued: `path` is a job's name, `args` is JSON text.

        Raises `UsageError` when no job has this name and `InvalidArguments` when `args` do not
        fit it.
        """
        function = self._jobs.get(path)
        if function is None:
            raise UsageError(self.unknown(path))
        function.signature.check(args)

    def settings_of(self, path: str, kind: str = "function") -> JobSettings:
        """What this app says about the jobs called `path`."""
        return self._jobs[path].settings if kind == "function" else self.settings

    def handler(self, name: str) -> Handler:
        """The job `name` as a handler. Raises `UsageError` when it can be none."""
        if name not in self._handlers:
            self._handlers[name] = self._checked_handler(name)
        return self._handlers[name]

    def check(self) -> None:
        """Raise `UsageError` when a job takes what JSON cannot hold, or names no handler."""
        for function in self._jobs.values():
            function.signature  # noqa: B018 - reading the signature is the check
            check_settings(function.settings, self.handler)
        self.check_schedules()

    def unknown(self, path: str) -> str:
        """The sentence that says that no job is called `path`, and which there are."""
        names = sorted(self._jobs)
        shown = ", ".join(names[:NAMES_SHOWN_MAX]) or "no jobs"
        more = len(names) - NAMES_SHOWN_MAX
        return f"unknown job '{path}'; this app has {shown}" + (f" and {more} more" * (more > 0))

    def _checked_handler(self, name: str) -> Handler:
        function = self._jobs.get(name)
        if function is None:
            raise UsageError(f"a handler: {self.unknown(name)}")
        try:
            function.signature.check(A_CALL_OF_A_HANDLER)
        except InvalidArguments as error:
            raise UsageError(f"a handler takes one argument, an EndedJob: {error}") from None
        return Handler(name, function.tag, function.priority)

    def _register(self, job: JobFunction[..., Any]) -> JobFunction[..., Any]:
        if job.name == "<lambda>":
            raise UsageError("a lambda has no name to enqueue it under; give it one with name=…")
        try:
            check_settings(job.settings)
            _check_retry_if(job)
        except UsageError as error:
            raise UsageError(f"job '{job.name}': {error}") from None
        if (other := self._jobs.get(job.name)) is not None:
            raise UsageError(
                f"two jobs are called '{job.name}': {other.where} and {job.where};"
                " give one of them another name with name=…"
            )
        if job.chunking is not None:
            _check_calls(job)
        self._jobs[job.name] = job
        return job


def load_app(target: str) -> App:
    """Import `module:attribute`, for instance `tasks:app`, and return the `App` it names.

    Modules are looked for in the current folder first. Raises `UsageError`, always one line.
    """
    module_name, colon, attribute = target.partition(":")
    if not (colon and module_name and attribute):
        raise UsageError(f"'{target}' does not name an app; write module:attribute, as tasks:app")
    module = imported(module_name)
    app = getattr(module, attribute, None)
    if not isinstance(app, App):
        raise UsageError(_no_app(module, attribute))
    app.check()
    return app


def imported(name: str) -> ModuleType:
    """The module, looked for in the current folder first. Raises `UsageError`, one line."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"there is no module '{name}' here or on Python's path") from None
        raise UsageError(_import_failed(name, error)) from error
    except (Exception, SystemExit) as error:
        raise UsageError(_import_failed(name, error)) from error


def _flavour(function: Callable[..., Any], asked: Flavour | None) -> Flavour:
    if not inspect.isroutine(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{function!r} cannot be a job; only functions can")
    is_async = inspect.iscoroutinefunction(function)
    name = function.__name__
    if asked is None:
        return "async" if is_async else "thread"
    if asked not in FLAVOURS:
        raise UsageError(f"job '{name}': no flavour '{asked}'; one of {', '.join(FLAVOURS)}")
    if is_async != (asked in {"async", "asyncio"}):
        kind = "an async def" if is_async else "a plain def"
        raise UsageError(f"job '{name}': the flavour '{asked}' does not fit {kind}")
    if asked == "process" and "<locals>" in function.__qualname__:
        raise UsageError(
            f"job '{name}': another process cannot find a function inside a function;"
            " define it at the top of its module"
        )
    return asked


def _chunking(name: str, chunk: int | None, linger_s: float | None) -> Chunking | None:
    try:
        if chunk is not None:
            return Chunking(chunk, LINGER_S if linger_s is None else linger_s)
    except UsageError as error:
        raise UsageError(f"job '{name}': {error}") from None
    if linger_s is not None:
        raise UsageError(
            f"job '{name}': linger_s is how long a chunk waits for more calls; say chunk=… too"
        )
    return None


def _check_calls(job: JobFunction[..., Any]) -> None:
    """Raises `UsageError` when a chunk function could never be called."""
    try:
        job.signature  # noqa: B018 - reading the signature is the check
    except UsageError as error:
        # A record that is defined further down is read when the app is complete.
        if not isinstance(error.__cause__, NameError):
            raise


def _check_retry_if(job: JobFunction[..., Any]) -> None:
    """Raises `UsageError` when it could never decide about a failure of the job."""
    decide: object = job.retry_if
    if decide is None:
        return
    if not callable(decide) or inspect.iscoroutinefunction(decide):
        raise UsageError("retry_if is a plain function that gets the exception and returns a bool")
    if job.settings.get("retry") is None:
        raise UsageError("retry_if says which errors are retried; say how often with retry=…")
    if job.flavour == "process" and "<" in getattr(decide, "__qualname__", "<"):
        raise UsageError(
            "another process cannot find this retry_if; define it as a function at the top of its"
            " module"
        )


def _import_failed(name: str, error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first_line = text.partition("\n")[0]
    what = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    return f"importing '{name}' failed: {what} ({_where(error)})"


def _where(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)]
    return f"{_shown(theirs[-1].filename)}:{theirs[-1].lineno}" if theirs else "at import"


def _shown(filename: str) -> str:
    here = Path.cwd()
    file = Path(filename)
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _no_app(module: ModuleType, attribute: str) -> str:
    name = module.__name__
    apps = [key for key, value in vars(module).items() if isinstance(value, App)]
    hint = f"; it has {', '.join(f'{name}:{key}' for key in apps)}" if apps else ""
    if not hasattr(module, attribute):
        return f"module '{name}' has no attribute '{attribute}'{hint}"
    kind = type(getattr(module, attribute)).__name__
    return f"'{name}:{attribute}' is of type {kind}, not a trioworker App{hint}"
