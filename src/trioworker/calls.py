"""What a function that is a coroutine may do while it runs: enqueue children, await them, do steps.

Rule of this file: all of it is a coroutine that is awaited where the function runs. What cannot be
is told at the call, for nobody awaits in a thread.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from functools import partial
from inspect import isawaitable
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
    Asked,
    Child,
    How,
    Line,
    Registered,
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


class Calls:
    """Children and steps, for functions that are coroutines."""

    __slots__ = ()

    @property
    def _line(self) -> Line:
        raise NotImplementedError

    @property
    def _how(self) -> How:
        raise NotImplementedError

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
    ) -> "Calls":
        """The same with more said of the children that are enqueued with it.

        `key` tells children apart that are asked for with equal arguments, in whatever order; the
        others are as in `Client.enqueue`.
        """
        return _Calls(
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
    ) -> Coroutine[Any, Any, Child[R]]: ...
    @overload
    def enqueue(
        self,
        function: "Registered[Concatenate[JobContext, P], R]",
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, Child[R]]: ...
    @overload
    def enqueue(
        self,
        function: Registered[P, Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, Child[R]]: ...
    @overload
    def enqueue(
        self, function: Registered[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Child[R]]: ...
    @overload
    def enqueue(
        self, function: str, /, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, Child[Any]]: ...

    def enqueue(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Enqueue a child and return once it is stored. `function` is a job, or the name of one.

        In a later attempt of this job it is the same child: see docs/workflow-as-code.md. Raises
        `UsageError`, `InvalidArguments`, and `ReplayMismatch` when it would be another one.
        """
        return self._enqueue(self._coroutines, *asked_for(self._how, function, args, kwargs))

    @overload
    def call(
        self,
        function: "Registered[Concatenate[JobContext, P], Coroutine[Any, Any, R]]",
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(
        self,
        function: "Registered[Concatenate[JobContext, P], R]",
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(
        self,
        function: Registered[P, Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(
        self, function: Registered[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(self, function: str, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]: ...

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Enqueue a child and wait until it has ended; what it returned. Raises `ChildFailed`."""
        return self._call(self._coroutines, *asked_for(self._how, function, args, kwargs))

    @overload
    def enqueue_each(
        self, function: Registered[..., Coroutine[Any, Any, R]], calls: Iterable[Arguments], /
    ) -> Coroutine[Any, Any, list[Child[R]]]: ...
    @overload
    def enqueue_each(
        self, function: Registered[..., R], calls: Iterable[Arguments], /
    ) -> Coroutine[Any, Any, list[Child[R]]]: ...
    @overload
    def enqueue_each(
        self, function: str, calls: Iterable[Arguments], /
    ) -> Coroutine[Any, Any, list[Child[Any]]]: ...

    def enqueue_each(self, function: Any, calls: Iterable[Arguments], /) -> Any:
        """Enqueue a child for each call, given by name or by position, all in one transaction."""
        return self._enqueue_each(self._coroutines, *each_asked_for(self._how, function, calls))

    @overload
    def gather(
        self, children: Iterable[Child[R]], *, return_exceptions: Literal[False] = False
    ) -> Coroutine[Any, Any, list[R]]: ...
    @overload
    def gather(
        self, children: Iterable[Child[R]], *, return_exceptions: bool
    ) -> Coroutine[Any, Any, list[R | ChildFailed]]: ...

    def gather(self, children: Iterable[Child[R]], *, return_exceptions: bool = False) -> Any:
        """Wait for all of them; their results in order.

        Raises `ChildFailed` as soon as one has failed; the others go on. With `return_exceptions`
        it waits for all, and the failures stand in the places of results.
        """
        return self._gather(self._coroutines, list(children), return_exceptions=return_exceptions)

    @overload
    def step(
        self, name: str, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def step(
        self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `function` and store what it returned before returning it, as JSON gives it.

        Where that is stored already, by an earlier attempt, it is returned and nothing called. A
        step that raises stores nothing. No two steps of a job have the same `name`.
        """
        return self._step(self._coroutines, name, function, args, kwargs)

    @property
    def _coroutines(self) -> Line:
        """The line, if coroutines may use it: told at the call, for nobody awaits in a thread."""
        if self._line.flavour == "thread":
            raise UsageError("a job in a thread cannot await: say ctx.sync.call(…) and the like")
        self._line.backend  # noqa: B018 - raises when there is none
        return self._line

    async def _enqueue(self, line: Line, asked: Asked, read: Callable[[str], Any]) -> Child[Any]:
        (id_,) = await line.ask(partial(line.backend.enqueue, [asked]))
        return Child(id_, asked.path, line, read)

    async def _call(self, line: Line, asked: Asked, read: Callable[[str], Any]) -> Any:
        return await (await self._enqueue(line, asked, read)).result()

    async def _enqueue_each(
        self, line: Line, asked: Sequence[Asked], read: Callable[[str], Any]
    ) -> list[Child[Any]]:
        ids = await line.ask(partial(line.backend.enqueue, asked))
        return [Child(id_, one.path, line, read) for id_, one in zip(ids, asked, strict=True)]

    async def _gather(
        self, line: Line, children: Sequence[Child[R]], *, return_exceptions: bool
    ) -> Sequence[R | ChildFailed]:
        if not children:
            return []
        ids = list(dict.fromkeys(child.id for child in children))
        ends = await line.ask(partial(line.backend.ends, ids, all_of_them=return_exceptions))
        return (values_or_errors if return_exceptions else values)(children, ends)

    async def _step(
        self, line: Line, name: str, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        backend, read = line.backend, reader(function)
        stored = await line.ask(partial(backend.begin_step, name))
        if stored is not None:
            return read(stored)
        try:
            value = function(*args, **kwargs)
            result = written(name, (await value) if isawaitable(value) else value)
        except BaseException:
            backend.leave_step(name)
            raise
        await line.ask(partial(backend.end_step, name, result))
        return read(result)


class _Calls(Calls):
    """Calls with more said of them."""

    __slots__ = ("__how", "__line")

    def __init__(self, line: Line, how: How) -> None:
        self.__line = line
        self.__how = how

    @property
    def _line(self) -> Line:
        return self.__line

    @property
    def _how(self) -> How:
        return self.__how
