"""What a function in a thread may do while it runs: the same as a coroutine, without await.

Rule of this file: each call waits here, in the thread. While it waits for children the thread does
not count among those that the worker has.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    TypeVar,
    Unpack,
    overload,
)

from trioworker.children import (
    Arguments,
    How,
    Line,
    Registered,
    SyncChild,
    asked_for,
    each_asked_for,
    reader,
    values,
    values_or_errors,
    written,
)
from trioworker.errors import ChildFailed, UsageError
from trioworker.model.job import Kind
from trioworker.model.job_settings import JobSettings

if TYPE_CHECKING:
    from trioworker.context import JobContext

P = ParamSpec("P")
R = TypeVar("R")


class SyncCalls:
    """Children and steps, for functions in threads: `JobContext.sync`."""

    def __init__(self, line: Line, how: How) -> None:
        if line.flavour in {"async", "asyncio"}:
            raise UsageError(
                "ctx.sync is for jobs in threads; here say await ctx.call(…) and so on"
            )
        self._line = line
        self._how = how

    def using(
        self,
        *,
        key: str | None = None,
        kind: Kind = "function",
        scheduled_for: datetime | None = None,
        delay_s: float | None = None,
        dedicated: bool = False,
        language: str | None = None,
        **settings: Unpack[JobSettings],
    ) -> "SyncCalls":
        """See `Calls.using`."""
        return SyncCalls(
            self._line,
            How(key, kind, scheduled_for, delay_s, dedicated, language, settings),
        )

    @overload
    def enqueue(
        self,
        function: "Registered[Concatenate[JobContext, P], Coroutine[Any, Any, R]]",
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> SyncChild[R]: ...
    @overload
    def enqueue(
        self,
        function: "Registered[Concatenate[JobContext, P], R]",
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> SyncChild[R]: ...
    @overload
    def enqueue(
        self,
        function: Registered[P, Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> SyncChild[R]: ...
    @overload
    def enqueue(
        self, function: Registered[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SyncChild[R]: ...
    @overload
    def enqueue(self, function: str, /, *args: Any, **kwargs: Any) -> SyncChild[Any]: ...

    def enqueue(self, function: Any, /, *args: Any, **kwargs: Any) -> SyncChild[Any]:
        """See `Calls.enqueue`."""
        asked, read = asked_for(self._how, function, args, kwargs)
        (id_,) = self._line.ask_from_thread(partial(self._line.backend.enqueue, [asked]))
        return SyncChild(id_, asked.path, self._line, read)

    @overload
    def call(
        self,
        function: "Registered[Concatenate[JobContext, P], Coroutine[Any, Any, R]]",
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def call(
        self,
        function: "Registered[Concatenate[JobContext, P], R]",
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def call(
        self,
        function: Registered[P, Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def call(self, function: Registered[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def call(self, function: str, /, *args: Any, **kwargs: Any) -> Any: ...

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """See `Calls.call`."""
        return self.enqueue(function, *args, **kwargs).result()

    @overload
    def enqueue_each(
        self, function: Registered[..., Coroutine[Any, Any, R]], calls: Iterable[Arguments], /
    ) -> list[SyncChild[R]]: ...
    @overload
    def enqueue_each(
        self, function: Registered[..., R], calls: Iterable[Arguments], /
    ) -> list[SyncChild[R]]: ...
    @overload
    def enqueue_each(
        self, function: str, calls: Iterable[Arguments], /
    ) -> list[SyncChild[Any]]: ...

    def enqueue_each(self, function: Any, calls: Iterable[Arguments], /) -> list[SyncChild[Any]]:
        """See `Calls.enqueue_each`."""
        asked, read = each_asked_for(self._how, function, calls)
        ids = self._line.ask_from_thread(partial(self._line.backend.enqueue, asked))
        return [
            SyncChild(id_, one.path, self._line, read) for id_, one in zip(ids, asked, strict=True)
        ]

    @overload
    def gather(
        self, children: Iterable[SyncChild[R]], *, return_exceptions: Literal[False] = False
    ) -> list[R]: ...
    @overload
    def gather(
        self, children: Iterable[SyncChild[R]], *, return_exceptions: bool
    ) -> list[R | ChildFailed]: ...

    def gather(
        self, children: Iterable[SyncChild[R]], *, return_exceptions: bool = False
    ) -> Sequence[R | ChildFailed]:
        """See `Calls.gather`."""
        waited_for = list(children)
        if not waited_for:
            return []
        ids = list(dict.fromkeys(child.id for child in waited_for))
        ask = partial(self._line.backend.ends, ids, all_of_them=return_exceptions)
        ends = self._line.ask_from_thread(ask)
        return (values_or_errors if return_exceptions else values)(waited_for, ends)

    def step(self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Calls.step`."""
        backend, read = self._line.backend, reader(function)
        stored = self._line.ask_from_thread(partial(backend.begin_step, name))
        if stored is None:
            try:
                stored = written(name, function(*args, **kwargs))
            except BaseException:
                backend.leave_step(name)
                raise
            self._line.ask_from_thread(partial(backend.end_step, name, stored))
        value: R = read(stored)
        return value
