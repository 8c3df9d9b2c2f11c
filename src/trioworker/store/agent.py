"""`AgentStore`: the store of a worker without a database, which asks a server over HTTP.

Rule of this file: a request that got no readable answer may have been done, and says so; only a
server that was never reached, or that names what went wrong, is believed. Nothing is repeated here.
"""

import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Final, NoReturn, TypeVar
from uuid import UUID

import httpx
import msgspec
import trio

from trioworker import errors
from trioworker.errors import (
    ConnectionLost,
    NotAllowed,
    Refused,
    ServerUnavailable,
    StatementTimeout,
    StoreError,
    UnknownStoreError,
    UsageError,
)
from trioworker.model.cache import CachedResult
from trioworker.model.job import Job
from trioworker.model.outcome import Executed, Interrupted
from trioworker.model.planner import FloorColumns
from trioworker.model.running import Said
from trioworker.model.tags import Tags
from trioworker.store import wire
from trioworker.store.agent_workflow import AgentWorkflow
from trioworker.store.packing import PACK_FROM_BYTES, pack, unpack
from trioworker.store.protocol import Counters, Heartbeat, Hint, Promoted, Reaped, WorkerInfo

T = TypeVar("T")

CONNECT_S: Final = 10.0
HINT_WAIT_S: Final = 25.0
CONNECTIONS_MAX: Final = 10
REPLY_TIMES: Final = 10
"""How many times as long as a silence may last a whole reply may take, which comes bit by bit."""
REPLY_BYTES_MAX: Final = 1024 * 1024 * 1024
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_FAILURES: Final[Mapping[str, type[StoreError]]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, StoreError)
}


@asynccontextmanager
async def open_agent_store(
    base_url: str,
    token: str,
    *,
    batches: bool,
    now_s: Callable[[], float],
    timeout_s: float = 30.0,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator["AgentStore"]:
    """The store behind the server at `base_url`, for as long as the context lasts.

    `token` is what `trioworker token create` printed. `batches` uses the requests that carry more
    than one job. `now_s` reads the worker's monotonic clock; `timeout_s` bounds each silence of
    the server, and `REPLY_TIMES` as much a reply. Raises `UsageError` for an address that is none.
    """
    try:
        client = httpx.AsyncClient(
            base_url=base_url,
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            transport=transport,
        )
    except httpx.InvalidURL as error:
        raise UsageError(f"the address {base_url} will not do: {error}") from None
    packs = client.base_url.host not in LOCAL
    client.headers["accept-encoding"] = "gzip" if packs else "identity"
    async with client:
        yield AgentStore(client, batches=batches, packs=packs, now_s=now_s, timeout_s=timeout_s)


class AgentStore:
    """A `Store` over an HTTP client whose base is the server, with the token in its headers.

    What only keeps the database in order (reaping, promotion, schedules, tidying) is the server's
    work, and nothing here.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        batches: bool,
        packs: bool,
        now_s: Callable[[], float],
        timeout_s: float,
    ) -> None:
        self._client = client
        self._pull_path, self._commit_path = _PATHS[batches]
        self._packs = packs
        self._now_s = now_s
        self._timeout_s = timeout_s
        self._worker: UUID | None = None
        self._flushes = 0
        self.workflow = AgentWorkflow(self._ask)

    async def register(self, worker: WorkerInfo) -> None:
        """See `Store.register`; the server gives the worker the tags of its token."""
        said = wire.Register(
            worker.id, worker.name, worker.host, worker.pid, worker.mode, worker.lease_s
        )
        await self._ask("register", said, wire.Done)
        self._worker = self.workflow.worker = worker.id

    async def retire(self, worker: UUID) -> None:
        """See `Store.retire`."""
        await self._ask("retire", wire.Mine(worker), wire.Done)

    async def heartbeat(self, worker: UUID, counters: Counters) -> Heartbeat:
        """See `Store.heartbeat`."""
        beaten = await self._ask("heartbeat", wire.Beat(worker, counters), wire.Beaten)
        return Heartbeat(beaten.alive, beaten.cancels)

    async def pull(
        self,
        worker: UUID,
        claim: UUID,
        size: int,
        tags: Tags,  # noqa: ARG002 - the server goes by those of the token
        floors: FloorColumns,
        *,
        alone_from: int,
    ) -> Sequence[Job]:
        """See `Store.pull`."""
        asked = wire.Pull(worker, claim, size, alone_from, floors)
        batch = await self._ask(self._pull_path, asked, wire.Batch)
        return wire.jobs_of(batch, now_s=self._now_s())

    async def adopt(self, worker: UUID, known: AbstractSet[UUID]) -> Sequence[Job]:
        """See `Store.adopt`."""
        found = await self._ask("adopt", wire.Adopt(worker, sorted(known)), wire.Batches)
        now_s = self._now_s()
        return [job for batch in found.batches for job in wire.jobs_of(batch, now_s=now_s)]

    async def commit(
        self, worker: UUID, batch: Sequence[Executed], *, again: bool
    ) -> AbstractSet[UUID]:
        """See `Store.commit`."""
        if all(_unstarted(executed) for executed in batch):
            jobs = [wire.Which.of(executed.job) for executed in batch]
            given = wire.GiveBack(worker, jobs, again)
            return {*(await self._ask("give_back", given, wire.Lost)).lost}
        now_s = self._now_s()
        outcomes = [wire.sent(executed, now_s=now_s) for executed in batch]
        asked = wire.Commit(worker, outcomes, again)
        return {*(await self._ask(self._commit_path, asked, wire.Lost)).lost}

    async def cached_results(self, keys: Sequence[str]) -> Mapping[str, CachedResult]:
        """See `Store.cached_results`."""
        assert self._worker is not None
        asked = wire.Cached(self._worker, keys)
        found = await self._ask("cached_results", asked, wire.Results)
        return {
            key: CachedResult(one.job, one.age_s, one.result) for key, one in found.results.items()
        }

    async def store_running(
        self, worker: UUID, said: Sequence[Said], *, number: int | None = None
    ) -> None:
        """See `Store.store_running`; requests may come late, or twice, so each has its number."""
        self._flushes += 1
        number = self._flushes if number is None else number
        await self._ask("logs", wire.Logs(worker, number, wire.written(said)), wire.Done)

    async def next_due_s(self, tags: Sequence[str]) -> float | None:  # noqa: ARG002 - as in `pull`
        """See `Store.next_due_s`."""
        assert self._worker is not None
        return (await self._ask("next_due", wire.Mine(self._worker), wire.Due)).seconds

    async def reap(self, *, claims_max: int, reaped_max: int) -> Reaped:  # noqa: ARG002 - none here
        """See `Store.reap`."""
        return Reaped((), ())

    async def promote(self) -> Promoted:
        """See `Store.promote`."""
        return Promoted(0, None)

    async def sweep_flows(self) -> bool:
        """See `Store.sweep_flows`."""
        return False

    async def sweep_schedules(self) -> bool:
        """See `Store.sweep_schedules`."""
        return False

    async def tidy(self) -> None:
        """See `Store.tidy`."""

    async def delete_ended(self, *, older_s: float | None) -> bool:  # noqa: ARG002 - none here
        """See `Store.delete_ended`."""
        return False

    async def ping(self) -> None:
        """See `Store.ping`."""
        assert self._worker is not None
        await self._ask("ping", wire.Mine(self._worker), wire.Done)

    async def listen(self, heard: Callable[[Hint], None]) -> NoReturn:
        """See `Store.listen`: one request after the other, answered when there is a hint."""
        assert self._worker is not None
        asked = wire.Listen(self._worker, HINT_WAIT_S)
        heard(Hint())
        while True:
            hints = await self._ask("listen", asked, wire.Hints, more_s=HINT_WAIT_S)
            if hints.anything:
                heard(Hint())
            for tag in hints.tags:
                heard(Hint(tag=tag))
            if hints.cancels:
                heard(Hint(cancel_for=str(self._worker)))
            for job in hints.done:
                heard(Hint(done=job))

    async def _ask(self, path: str, asked: object, answer: type[T], *, more_s: float = 0.0) -> T:
        """The reply to one request. Raises `StoreError`."""
        reply, body = await self._send(path, _encoded(asked), self._timeout_s + more_s)
        if reply.status_code != httpx.codes.OK:
            raise _failure(reply, body)
        try:
            return msgspec.json.decode(body, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConnectionLost(
                f"the reply of {self._client.base_url} cannot be read: {error}", ambiguous=True
            ) from error

    async def _send(self, path: str, body: bytes, timeout_s: float) -> tuple[httpx.Response, bytes]:
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        request = self._client.build_request("POST", wire.PREFIX + path, timeout=timeout)
        if self._packs and len(body) >= PACK_FROM_BYTES:
            body = pack(body)
            request.headers["content-encoding"] = "gzip"
        request.headers["content-length"] = str(len(body))
        request.stream = _Content(body)
        server = self._client.base_url
        try:
            with trio.move_on_after(REPLY_TIMES * timeout_s) as patience:
                reply = await self._client.send(request, stream=True)
                try:
                    return reply, await _body(reply, patience)
                finally:
                    await reply.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ConnectionLost(f"{server} cannot be reached: {_said(error)}") from error
        except httpx.TimeoutException as error:
            raise StatementTimeout(
                f"no answer from {server} in {timeout_s:g} s", ambiguous=True
            ) from error
        except httpx.HTTPError as error:
            raise ConnectionLost(
                f"the line to {server} was lost: {_said(error)}", ambiguous=True
            ) from error
        raise StatementTimeout(f"the reply of {server} has no end", ambiguous=True)


class _Content(httpx.AsyncByteStream):
    """The body of a request. Not a generator, as httpx has it: those it leaves open on failure."""

    def __init__(self, body: bytes) -> None:
        self._left = [body]

    def __aiter__(self) -> "_Content":
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


_PATHS: Final = {True: ("batch_pull", "batch_commit"), False: ("pull", "commit")}


def _unstarted(executed: Executed) -> bool:
    never_ran = executed.duration_s == 0 and not executed.log and not executed.log_chunk
    return isinstance(executed.outcome, Interrupted) and never_ran


def _encoded(asked: object) -> bytes:
    try:
        return msgspec.json.encode(asked)
    except (UnicodeEncodeError, msgspec.MsgspecError, OverflowError) as error:
        raise Refused(f"this cannot be sent as JSON: {error}") from error


async def _body(reply: httpx.Response, patience: trio.CancelScope) -> bytes:
    """What came, unpacked: httpx would leave its stream open when that fails in the middle.

    One that is too long ends the `patience`, which leaves no stream open either.
    """
    parts: list[bytes] = []
    size = 0
    async for part in reply.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > REPLY_BYTES_MAX:
            patience.cancel()
    body = b"".join(parts)
    return _unpacked(body) if reply.headers.get("content-encoding") == "gzip" else body


def _unpacked(body: bytes) -> bytes:
    try:
        plain, whole = unpack(body, REPLY_BYTES_MAX)
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from error
    if not whole:
        raise httpx.DecodingError("its gzip ends too early, or is too long")
    return plain


def _failure(reply: httpx.Response, body: bytes) -> StoreError:
    """The error that a reply other than 200 stands for."""
    try:
        said = msgspec.json.decode(body, type=wire.Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = wire.Refusal(f"{reply.status_code} {reply.reason_phrase} from {reply.url}")
    if said.failure is not None:
        kind = _FAILURES.get(said.failure, UnknownStoreError)
        return kind(said.error, sqlstate=said.sqlstate, ambiguous=said.ambiguous)
    return _by_status(reply.status_code, said.error)


def _by_status(status: int, sentence: str) -> StoreError:
    """What somebody between agent and server has said, or a server that never got to its store.

    It is told as ambiguous wherever the request may have gone further.
    """
    match status:
        case 401 | 403:
            return NotAllowed(sentence)
        case 400 | 411 | 413 | 414 | 415 | 422 | 431:
            return Refused(sentence)
        case 429:
            return ServerUnavailable(sentence)
        case 408 | 504:
            return StatementTimeout(sentence, ambiguous=True)
        case 502 | 503:
            return ServerUnavailable(sentence, ambiguous=True)
        case _:
            return UnknownStoreError(sentence, ambiguous=True)


def _said(error: Exception) -> str:
    """What went wrong, in the words of the nearest cause that has any."""
    cause: BaseException | None = error
    while cause is not None and not str(cause):
        cause = cause.__cause__ or cause.__context__
    return str(cause or type(error).__name__)
