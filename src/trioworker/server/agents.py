"""The agents API: a `Store` for workers without a database, one request for each of its methods.

Rule of this file: what a request says is believed of its own worker only. Tags come from the token,
jobs from the database; of a job an agent says which one it is and how it ended.
"""

import zlib
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple, NoReturn, Protocol
from uuid import UUID

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trioworker.errors import (
    ConnectionLost,
    Contention,
    Exhausted,
    Refused,
    ServerUnavailable,
    StatementTimeout,
)
from trioworker.model.agent_token import AgentToken
from trioworker.model.outcome import Executed, Interrupted
from trioworker.model.tags import Tags
from trioworker.server.agent_scripts import AgentScriptsApi
from trioworker.server.app import answer, decode, patiently
from trioworker.server.claims import Claims
from trioworker.server.errors import NO_DATABASE, BadRequest, Forbidden, TooLarge
from trioworker.server.guard import BODY, BODY_BYTES_MAX
from trioworker.server.hints import Hub
from trioworker.server.upkeep import listen
from trioworker.server.workflow import AgentWorkflows
from trioworker.store import wire, wire_flows, wire_scripts, wire_workflow
from trioworker.store.packing import PACK_FROM_BYTES, pack, unpack
from trioworker.store.postgres.database import Lane
from trioworker.store.postgres.store import COMMIT, CONTROL, PULL, RUNNING
from trioworker.store.protocol import Store, WorkerInfo

UNREACHED: Final = (ConnectionLost, ServerUnavailable, Exhausted, Contention, StatementTimeout)
"""Failures of which a later request may see nothing; the others are this request's or a bug's."""


class Authority(Protocol):
    """Who may ask for what."""

    async def token(self, request: Request) -> AgentToken:
        """The token of a request. Raises `Unauthorised`."""
        ...

    async def owns(self, token: AgentToken, worker: UUID) -> bool:
        """Whether `worker` was registered with this token."""
        ...


AGENT_LANES: Final = (
    Lane(PULL, size=4, durable=False),
    Lane(COMMIT, size=4),
    Lane(CONTROL, size=4),
    Lane(RUNNING, size=2),
)
"""What all agents share, however many there are: a crowd of them waits here, not in PostgreSQL."""


class Caller(NamedTuple):
    """Who asks: the request, and the token that came with it."""

    request: Request
    token: AgentToken


class Agents:
    """The endpoints, over a store whose lanes have room for several requests at once.

    `rng` draws the pauses between attempts to listen. `run` must run beside them.
    """

    def __init__(self, store: Store, authority: Authority, rng: Random) -> None:
        self._store = store
        self._authority = authority
        self._rng = rng
        self._hub = Hub()
        self._claims = Claims(store)
        self._scripts = AgentScriptsApi(store.scripts, self._claims)
        self._workflows = AgentWorkflows(store.workflow, self._claims, self._hub)

    async def run(self) -> NoReturn:
        """Pass the database's hints on to those who wait, until cancelled."""
        await listen(self._store, self._hub.heard, self._rng)
        raise AssertionError  # it ends by being cancelled

    def routes(self) -> Sequence[BaseRoute]:
        """One for each request of `wire`."""
        asked: Sequence[tuple[str, type, Reply]] = (
            ("register", wire.Register, self._register),
            ("retire", wire.Mine, self._retire),
            ("heartbeat", wire.Beat, self._heartbeat),
            ("batch_pull", wire.Pull, self._pull),
            ("pull", wire.Pull, self._pull_one),
            ("adopt", wire.Adopt, self._adopt),
            ("batch_commit", wire.Commit, self._commit),
            ("commit", wire.Commit, self._commit_one),
            ("give_back", wire.GiveBack, self._give_back),
            ("cached_results", wire.Cached, self._cached_results),
            ("logs", wire.Logs, self._logs),
            ("next_due", wire_flows.NextDue, self._next_due),
            ("kept_flows", wire_flows.Kept, self._kept_flows),
            ("ping", wire.Mine, self._ping),
            ("listen", wire.Listen, self._listen),
            ("scripts", wire_scripts.Newest, self._scripts.newest),
            ("script", wire_scripts.WhichScript, self._scripts.whole),
            ("now", wire.Mine, self._workflows.now),
            ("enqueue", wire_workflow.Enqueue, self._workflows.enqueue),
            ("ends", wire_workflow.Ends, self._workflows.ends),
            ("steps", wire_workflow.Steps, self._workflows.steps),
            ("store_steps", wire_workflow.StoreSteps, self._workflows.store_steps),
        )
        return [
            Route(wire.PREFIX + path, self._endpoint(kind, reply), methods=["POST"])
            for path, kind, reply in asked
        ]

    def _endpoint(self, kind: type, reply: "Reply") -> Callable[[Request], Awaitable[Response]]:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

        async def endpoint(request: Request) -> Response:
            try:
                token = await self._authority.token(request)
                asked = decode(await _unpacked(request), decoder)
                if kind is not wire.Register:
                    await self._refuse_others(token, asked.worker)
                return _response(request, await reply(Caller(request, token), asked))
            except Refused as error:
                return _response(request, wire.refusal(error, str(error)), 422)
            except UNREACHED as error:
                # Where the database is, and how it fares, is for the server's own log.
                return _response(request, wire.refusal(error, NO_DATABASE), 503)

        return endpoint

    async def _refuse_others(self, token: AgentToken, worker: UUID) -> None:
        if not await self._authority.owns(token, worker):
            raise Forbidden("this worker was not registered with this token")

    # ---- the worker itself ------------------------------------------------------------------

    async def _register(self, caller: Caller, asked: wire.Register) -> wire.Done:
        token = caller.token
        info = WorkerInfo(
            id=asked.worker,
            name=asked.name,
            host=asked.host,
            pid=asked.pid,
            mode=asked.mode,
            tags=token.tags,
            lease_s=asked.lease_s,
            token=token.id,
        )
        await self._store.register(info)
        await self._refuse_others(token, asked.worker)
        return wire.Done()

    async def _retire(self, _: Caller, asked: wire.Mine) -> wire.Done:
        await self._store.retire(asked.worker)
        self._hub.leave(asked.worker)
        return wire.Done()

    async def _heartbeat(self, _: Caller, asked: wire.Beat) -> wire.Beaten:
        beat = await self._store.heartbeat(asked.worker, asked.counters)
        return wire.Beaten(beat.alive, beat.cancels)

    async def _ping(self, _: Caller, __: wire.Mine) -> wire.Done:
        await self._store.ping()
        return wire.Done()

    async def _listen(self, caller: Caller, asked: wire.Listen) -> wire.Hints:
        """Answered when there is a hint; the look at the request ends it when nobody waits."""
        tags = caller.token.tags.names
        hints = await patiently(
            caller.request, asked.wait_s, lambda: self._hub.wait(asked.worker, tags)
        )
        return hints or wire.Hints()

    # ---- jobs in ----------------------------------------------------------------------------

    async def _pull(self, caller: Caller, asked: wire.Pull) -> wire.Batch:
        if not self._claims.is_first(asked.worker, asked.claim):
            raise Refused("this pull has come before", ambiguous=True)
        try:
            jobs = await self._store.pull(
                asked.worker,
                asked.claim,
                asked.batch_size,
                _tags(caller, asked),
                asked.floors,
                alone_from=asked.alone_from,
            )
        except Refused as error:
            # Most likely this very request has come twice, and its claim is made.
            raise Refused(str(error), sqlstate=error.sqlstate, ambiguous=True) from error
        self._claims.remember(asked.worker, jobs)
        batches = wire.handed(jobs, now_s=trio.current_time())
        return batches[0] if batches else wire.Batch(asked.claim, ())

    async def _pull_one(self, caller: Caller, asked: wire.Pull) -> wire.Batch:
        if asked.batch_size != 1:
            raise BadRequest("`pull` claims one job; ask `batch_pull` for more")
        return await self._pull(caller, asked)

    async def _adopt(self, _: Caller, asked: wire.Adopt) -> wire.Batches:
        jobs = await self._store.adopt(asked.worker, {*asked.known})
        self._claims.remember(asked.worker, jobs)
        return wire.Batches(wire.handed(jobs, now_s=trio.current_time()))

    async def _next_due(self, caller: Caller, asked: wire_flows.NextDue) -> wire.Due:
        return wire.Due(await self._store.next_due_s(_tags(caller, asked).names))

    async def _kept_flows(self, _: Caller, asked: wire_flows.Kept) -> wire_flows.Flows:
        return wire_flows.Flows(sorted(await self._store.kept_flows(asked.worker, asked.flows)))

    async def _cached_results(self, _: Caller, asked: wire.Cached) -> wire.Results:
        """Only what a job in this worker's hands asks for: an agent may not look at others'."""
        allowed = await self._claims.cache_keys(asked.worker)
        return wire.found(await self._store.cached_results([k for k in asked.keys if k in allowed]))

    # ---- outcomes back ----------------------------------------------------------------------

    async def _commit(self, _: Caller, asked: wire.Commit) -> wire_flows.Stored:
        jobs = await self._claims.find(asked.worker, _once_each([o.job for o in asked.outcomes]))
        now_s = trio.current_time()
        batch = [
            wire.executed(one, job, now_s=now_s)
            for one, job in zip(asked.outcomes, jobs, strict=True)
        ]
        return await self._store_ends(asked.worker, batch, again=asked.again)

    async def _commit_one(self, caller: Caller, asked: wire.Commit) -> wire_flows.Stored:
        if len(asked.outcomes) != 1:
            raise BadRequest("`commit` stores one outcome; send more to `batch_commit`")
        return await self._commit(caller, asked)

    async def _give_back(self, _: Caller, asked: wire.GiveBack) -> wire_flows.Stored:
        jobs = await self._claims.find(asked.worker, _once_each(asked.jobs))
        now_s = trio.current_time()
        batch = [Executed(job, Interrupted(), now_s, 0.0) for job in jobs]
        return await self._store_ends(asked.worker, batch, again=asked.again)

    async def _store_ends(
        self, worker: UUID, batch: Sequence[Executed], *, again: bool
    ) -> wire_flows.Stored:
        """Store them; what is missing then may have been stored by this request, come earlier."""
        stored = await self._store.commit(worker, batch, again=again)
        if stored.lost and not again:
            missing = [executed for executed in batch if executed.job.id in stored.lost]
            found = await self._store.commit(worker, missing, again=True)
            stored = msgspec.structs.replace(stored, lost=found.lost)
        self._claims.forget(worker, (executed.job for executed in batch))
        self._claims.remember(worker, stored.handed)
        return wire_flows.told(stored, now_s=trio.current_time())

    async def _logs(self, _: Caller, asked: wire.Logs) -> wire.Done:
        jobs = await self._claims.find(asked.worker, _once_each([one.job for one in asked.said]))
        said = [wire.said(one, job) for one, job in zip(asked.said, jobs, strict=True) if job.path]
        if said:
            await self._store.store_running(asked.worker, said, number=asked.number)
        return wire.Done()


Reply = Callable[[Caller, Any], Awaitable[msgspec.Struct]]


def _tags(caller: Caller, asked: wire.Pull | wire_flows.NextDue) -> Tags:
    """The tags of the token, and the worker's own if it asks for them."""
    tags = caller.token.tags
    return tags.with_own(asked.worker) if asked.own else tags


def _once_each(which: Sequence[wire.Which]) -> Sequence[wire.Which]:
    """`which`, unless a job comes twice: in one transaction it could end twice over."""
    if len({one.id for one in which}) < len(which):
        raise BadRequest("a job comes twice in this request; send its outcomes one after the other")
    return which


async def _unpacked(request: Request) -> bytes:
    """The body, unpacked if it was packed, and then no longer than a plain one may be."""
    body = await request.body()
    packing = request.headers.get("content-encoding", "identity")
    if packing == "identity":
        return body
    if packing != "gzip":
        raise BadRequest(f"a body in the encoding {packing!r} cannot be read; send gzip, or plain")
    try:
        plain, whole = unpack(body, BODY_BYTES_MAX + 1)
    except zlib.error:
        raise BadRequest("the body says that it is gzip, and is not") from None
    if len(plain) > BODY_BYTES_MAX:
        raise TooLarge(BODY_BYTES_MAX)
    if not whole:
        raise BadRequest("the gzip of the body ends too early")
    request.scope[BODY].weighs(len(body) + len(plain))
    return plain


def _response(request: Request, said: msgspec.Struct, status: int = 200) -> Response:
    response = answer(said, status)
    takes = request.headers.get("accept-encoding", "")
    if len(response.body) >= PACK_FROM_BYTES and "gzip" in takes:
        packed = pack(response.body)
        headers = {"content-encoding": "gzip", "vary": "accept-encoding"}
        return Response(packed, status, headers, "application/json")
    return response
