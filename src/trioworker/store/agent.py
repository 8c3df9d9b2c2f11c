"""`AgentStore`: the store of a worker without a database, which asks a server over HTTP.

Rule of this file: a request that got no readable answer may have been done, and says so; only a
server that was never reached, or that names what went wrong, is believed. Nothing is repeated here.
"""

import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, NoReturn, TypeVar
from uuid import UUID

import msgspec

from trioworker import errors
from trioworker.errors import (
    ConnectionLost,
    NotAllowed,
    Refused,
    ServerUnavailable,
    StatementTimeout,
    StoreError,
    UnknownStoreError,
)
from trioworker.model.cache import CachedResult
from trioworker.model.job import Job
from trioworker.model.outcome import Executed, Interrupted
from trioworker.model.planner import FloorColumns
from trioworker.model.running import Said
from trioworker.model.tags import Tags, own_tag
from trioworker.store import wire, wire_flows
from trioworker.store.agent_scripts import AgentScripts
from trioworker.store.agent_workflow import AgentWorkflow
from trioworker.store.line import REPLY_BYTES_MAX, Line, Reply, open_line
from trioworker.store.packing import PACK_FROM_BYTES, pack, unpack
from trioworker.store.protocol import (
    Counters,
    Heartbeat,
    Hint,
    Promoted,
    Reaped,
    Stored,
    WorkerInfo,
)
from trioworker.store.reach import Headers

T = TypeVar("T")

HINT_WAIT_S: Final = 25.0

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
) -> AsyncIterator["AgentStore"]:
    """The store behind the server at `base_url`, for as long as the context lasts.

    `timeout_s` bounds each silence of the server; see `AgentStore` for the others. Raises
    `UsageError` for an address that is none.
    """
    async with open_line(base_url) as line:
        yield AgentStore(
            line, token, batches=batches, packs=not line.is_local, now_s=now_s, timeout_s=timeout_s
        )


class AgentStore:
    """A `Store` over a line to the server.

    `token` is what `trioworker token create` printed. `batches` uses the requests that carry more
    than one job, `packs` compresses what is long. `now_s` reads the worker's monotonic clock.

    What only keeps the database in order (reaping, promotion, schedules, tidying) is the server's
    work, and nothing here.
    """

    def __init__(
        self,
        line: Line,
        token: str,
        *,
        batches: bool,
        packs: bool,
        now_s: Callable[[], float],
        timeout_s: float,
    ) -> None:
        self._line = line
        self._pull_path, self._commit_path = _PATHS[batches]
        # Half of a commit's time goes by on the way, so that of the next may begin before its end.
        self.commits_at_once = 2 if batches else 1
        self._packs = packs
        self._headers = (
            (b"authorization", b"Bearer " + token.encode()),
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"gzip" if packs else b"identity"),
        )
        self._now_s = now_s
        self._timeout_s = timeout_s
        self._worker: UUID | None = None
        self._flushes = 0
        self.workflow = AgentWorkflow(self._ask)
        self.scripts = AgentScripts(self._ask)

    async def register(self, worker: WorkerInfo) -> None:
        """See `Store.register`; the server gives the worker the tags of its token."""
        said = wire.Register(
            worker.id, worker.name, worker.host, worker.pid, worker.mode, worker.lease_s
        )
        await self._ask("register", said, wire.Done)
        self._worker = self.workflow.worker = worker.id
        self.scripts.worker = worker.id

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
        tags: Tags,
        floors: FloorColumns,
        *,
        alone_from: int,
    ) -> Sequence[Job]:
        """See `Store.pull`; of the tags the server knows all but the worker's own."""
        own = own_tag(worker) in tags.names
        asked = wire.Pull(worker, claim, size, alone_from, floors, own)
        batch = await self._ask(self._pull_path, asked, wire.Batch)
        return wire.jobs_of(batch, now_s=self._now_s())

    async def adopt(self, worker: UUID, known: AbstractSet[UUID]) -> Sequence[Job]:
        """See `Store.adopt`."""
        found = await self._ask("adopt", wire.Adopt(worker, sorted(known)), wire.Batches)
        now_s = self._now_s()
        return [job for batch in found.batches for job in wire.jobs_of(batch, now_s=now_s)]

    async def commit(self, worker: UUID, batch: Sequence[Executed], *, again: bool) -> Stored:
        """See `Store.commit`."""
        asked: wire.GiveBack | wire.Commit
        if all(_unstarted(executed) for executed in batch):
            path, jobs = "give_back", [wire.Which.of(executed.job) for executed in batch]
            asked = wire.GiveBack(worker, jobs, again)
        else:
            now_s = self._now_s()
            outcomes = [wire.sent(executed, now_s=now_s) for executed in batch]
            path, asked = self._commit_path, wire.Commit(worker, outcomes, again)
        told = await self._ask(path, asked, wire_flows.Stored)
        return wire_flows.stored(told, now_s=self._now_s())

    async def kept_flows(self, worker: UUID, flows: Sequence[UUID]) -> AbstractSet[UUID]:
        """See `Store.kept_flows`."""
        asked = wire_flows.Kept(worker, flows)
        return {*(await self._ask("kept_flows", asked, wire_flows.Flows)).flows}

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

    async def next_due_s(self, tags: Sequence[str]) -> float | None:
        """See `Store.next_due_s`; the tags as in `pull`."""
        assert self._worker is not None
        asked = wire_flows.NextDue(self._worker, own_tag(self._worker) in tags)
        return (await self._ask("next_due", asked, wire.Due)).seconds

    async def reap(self, *, claims_max: int, reaped_max: int) -> Reaped:  # noqa: ARG002 - none here
        """See `Store.reap`."""
        return Reaped((), ())

    async def promote(self) -> Promoted:
        """See `Store.promote`."""
        return Promoted(0, None)

    async def sweep_flows(self) -> bool:
        """See `Store.sweep_flows`."""
        return False

    async def cancel_late(self) -> bool:
        """See `Store.cancel_late`."""
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
        reply = await self._send(path, _encoded(asked), self._timeout_s + more_s)
        try:
            body = _plain(reply)
            if reply.status == HTTPStatus.OK:
                return msgspec.json.decode(body, type=answer)
        except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConnectionLost(
                f"the reply of {self._line.server} cannot be read: {error}", ambiguous=True
            ) from error
        raise _failure(reply, body, self._line.server)

    async def _send(self, path: str, body: bytes, timeout_s: float) -> Reply:
        headers: Headers = self._headers
        if self._packs and len(body) >= PACK_FROM_BYTES:
            body = pack(body)
            headers = (*headers, _PACKED)
        return await self._line.ask(wire.PREFIX + path, headers, body, timeout_s=timeout_s)


_PACKED: Final = (b"content-encoding", b"gzip")
_PATHS: Final = {True: ("batch_pull", "batch_commit"), False: ("pull", "commit")}


def _unstarted(executed: Executed) -> bool:
    never_ran = executed.duration_s == 0 and not executed.log and not executed.log_chunk
    return isinstance(executed.outcome, Interrupted) and never_ran


def _encoded(asked: object) -> bytes:
    try:
        return msgspec.json.encode(asked)
    except (UnicodeEncodeError, msgspec.MsgspecError, OverflowError) as error:
        raise Refused(f"this cannot be sent as JSON: {error}") from error


def _plain(reply: Reply) -> bytes:
    """The body, unpacked. Raises `zlib.error` when it is not what it says."""
    if reply.header(_PACKED[0]) != _PACKED[1]:
        return reply.body
    plain, whole = unpack(reply.body, REPLY_BYTES_MAX)
    if not whole:
        raise zlib.error("its gzip ends too early, or is too long")
    return plain


def _failure(reply: Reply, body: bytes, server: str) -> StoreError:
    """The error that a reply other than 200 stands for."""
    try:
        said = msgspec.json.decode(body, type=wire.Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = wire.Refusal(f"{reply.status} {reply.reason} from {server}")
    if said.failure is not None:
        kind = _FAILURES.get(said.failure, UnknownStoreError)
        return kind(said.error, sqlstate=said.sqlstate, ambiguous=said.ambiguous)
    return _by_status(reply.status, said.error)


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
