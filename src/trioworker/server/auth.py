"""Who asks: the token of an agent, the key of a client, or a program on this very host.

Rules of this file:

* Whoever is refused learns one sentence, the same for whatever was wrong; the reason is an event.
* A token counts by its signature, its time, and a row that says it was not revoked. That row is
  looked up at most once a second for each token, so a revocation takes effect in about a second.
* Without a key only programs on this host are served, and no page in a browser on it.
"""

import hmac
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

import trio
from starlette.requests import Request

from trioworker.errors import InvalidToken, StoreError, UsageError
from trioworker.events import AccessRefused, Emit
from trioworker.model.agent_token import AgentToken, decode_token
from trioworker.server.errors import Forbidden, Unauthorised
from trioworker.settings import Address
from trioworker.store.postgres.tokens import TokenStanding

T = TypeVar("T")

FRESH_S: Final = 1.0
"""How long it is taken for granted that a token still counts."""
OWNED_S: Final = 60.0
"""How long it is remembered whose a worker is; that never changes while its row is there."""
KNOWN_MAX: Final = 10_000
PATH_CHARS_MAX: Final = 200

UNKNOWN_AGENT: Final = (
    "the token of this agent is missing or does not count (any more);"
    " make one with `trioworker token create`"
)
UNKNOWN_CLIENT: Final = "the API key is missing or wrong; send it as `Authorization: Bearer KEY`"
NO_AGENTS: Final = (
    "this server takes no agents, because it has no secret; set TRIOWORKER_AGENT_SECRET for it"
)
THIS_HOST_ONLY: Final = (
    "without a key this server takes requests of programs on its own host only, sent to 127.0.0.1"
    " or localhost; set TRIOWORKER_API_KEY to open it to others"
)
NO_PAGES: Final = "this server takes no requests of other pages in a browser"

_BEARER: Final = re.compile(r"bearer +(?P<credential>[\x21-\x7e]+)", re.IGNORECASE)
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+)(?::[0-9]{1,5})?")
_OF_PROXIES: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_OWN_PAGES: Final = ("same-origin", "none")


class Tokens(Protocol):
    """What is asked of the database; `PostgresTokens` is one."""

    async def standing(self, token: UUID) -> TokenStanding | None:
        """How a token stands; None when none was noted under this id."""
        ...

    async def has_worker(self, token: UUID, worker: UUID) -> bool:
        """Whether the worker was registered with this token."""
        ...


class AgentAuth:
    """Tells agents by their tokens. Without a `secret` there are none.

    `now_s` is a monotonic clock; the time by which tokens expire is the database's.
    """

    def __init__(
        self,
        tokens: Tokens,
        secret: str | None,
        *,
        emit: Emit,
        now_s: Callable[[], float] = trio.current_time,
    ) -> None:
        self._tokens = tokens
        self._secret = secret
        # What does not count is looked at anew each time; a good signature stays one.
        self._decoded = lru_cache(KNOWN_MAX)(decode_token)
        self._emit = emit
        self._now_s = now_s
        self._standings = _Standings(tokens, now_s)
        self._owners: _Memory[tuple[float, UUID]] = _Memory()

    async def token(self, request: Request) -> AgentToken:
        """The token that came with a request.

        Raises `Unauthorised`, and `StoreError` when nobody knows whether it still counts.
        """
        if self._secret is None:
            raise Forbidden(NO_AGENTS)
        token: AgentToken | None = None
        try:
            token = self._decoded(_bearer(request), self._secret)
            await self._check(token)
        except InvalidToken as error:
            self._emit(_refused(request, "token", str(error), token))
            raise Unauthorised(UNKNOWN_AGENT) from None
        return token

    async def owns(self, token: AgentToken, worker: UUID) -> bool:
        """Whether the worker was registered with this token; False for one that nobody knows."""
        known = self._owners.get(worker)
        if known is not None and known[1] == token.id and self._now_s() < known[0]:
            return True
        until_s = self._now_s() + OWNED_S
        if await self._tokens.has_worker(token.id, worker):
            self._owners.keep(worker, (until_s, token.id))
            return True
        self._emit(
            AccessRefused(
                credential="token",
                reason=f"the worker {worker} is not one of this token's",
                peer="",
                path="",
                token=token.id,
                group=token.group,
            )
        )
        return False

    async def _check(self, token: AgentToken) -> None:
        standing = await self._standings.of(token.id)
        if standing is None:
            raise InvalidToken("the token is not among those of this database")
        if standing.revoked:
            raise InvalidToken("the token was revoked")
        token.check_time(standing.now)


class KeyAuth:
    """Tells clients of the jobs API by the one key, or, when there is none, by where they are.

    Raises `UsageError` when others can reach `listen` and there is no key.
    """

    def __init__(self, key: str | None, listen: Address, *, emit: Emit) -> None:
        if key is None and not listen.is_local:
            raise UsageError(
                f"at {listen} others could reach the queue, and there is no key; set"
                " TRIOWORKER_API_KEY, or listen at 127.0.0.1"
            )
        self._key = None if key is None else key.encode()
        self._emit = emit

    def check(self, request: Request) -> None:
        """Raises `Unauthorised` without the key, `Forbidden` for those who would need one."""
        if self._key is None:
            self._check_host(request)
            return
        try:
            given = _bearer(request).encode()
        except InvalidToken as error:
            self._refuse(request, str(error))
            raise Unauthorised(UNKNOWN_CLIENT) from None
        if not hmac.compare_digest(given, self._key):
            self._refuse(request, "the key is wrong")
            raise Unauthorised(UNKNOWN_CLIENT)

    def _check_host(self, request: Request) -> None:
        """A page of anybody's can make a browser here ask, or make its own name lead here."""
        host = _only(request, "host")
        if host is None or not _is_local(host):
            self._refuse(request, "the request was not sent to a name of this host")
            raise Forbidden(THIS_HOST_ONLY)
        if any(name in request.headers for name in _OF_PROXIES):
            self._refuse(request, "the request came through a proxy")
            raise Forbidden(THIS_HOST_ONLY)
        origins = request.headers.getlist("origin")
        sites = request.headers.getlist("sec-fetch-site")
        if any(origin != f"http://{host}" for origin in origins) or any(
            site not in _OWN_PAGES for site in sites
        ):
            self._refuse(request, "the request came from another page in a browser")
            raise Forbidden(NO_PAGES)

    def _refuse(self, request: Request, reason: str) -> None:
        self._emit(_refused(request, "key", reason, None))


class _Answer(NamedTuple):
    """What the database said of a token, and when it was asked."""

    asked_s: float
    standing: TokenStanding | None


class _Question:
    """One that is under way; `failed` is how it went wrong, and why."""

    def __init__(self, asked_s: float) -> None:
        self.asked_s = asked_s
        self.answered = trio.Event()
        self.failed: StoreError | None = None


class _Standings:
    """What is known of tokens, none of it older than `FRESH_S`.

    However many requests come with a token, one of them asks and the others hear the answer.
    """

    def __init__(self, tokens: Tokens, now_s: Callable[[], float]) -> None:
        self._tokens = tokens
        self._now_s = now_s
        self._answers: _Memory[_Answer] = _Memory()
        self._questions: dict[int, _Question] = {}

    async def of(self, token: UUID) -> TokenStanding | None:
        """How the token stands now; None when none was noted under this id."""
        since_s = self._now_s() - FRESH_S
        while (answer := self._answers.get(token)) is None or answer.asked_s < since_s:
            question = self._questions.get(token.int)
            if question is None:
                await self._ask(token)
                continue
            await question.answered.wait()
            if question.failed is not None and question.asked_s >= since_s:
                raise question.failed
        if answer.standing is None:
            return None
        passed = timedelta(seconds=self._now_s() - answer.asked_s)
        return TokenStanding(answer.standing.revoked, answer.standing.now + passed)

    async def _ask(self, token: UUID) -> None:
        question = self._questions[token.int] = _Question(self._now_s())
        try:
            standing = await self._tokens.standing(token)
            self._answers.keep(token, _Answer(question.asked_s, standing))
        except StoreError as error:
            question.failed = error
            raise
        finally:
            del self._questions[token.int]
            question.answered.set()


class _Memory(Generic[T]):
    """What was last known of up to `KNOWN_MAX` ids; the ones noted first are forgotten first."""

    def __init__(self) -> None:
        # By number: the hash of a UUID is Python code, and this is asked for each request.
        self._known: OrderedDict[int, T] = OrderedDict()

    def get(self, id_: UUID) -> T | None:
        return self._known.get(id_.int)

    def keep(self, id_: UUID, known: T) -> None:
        self._known.pop(id_.int, None)
        self._known[id_.int] = known
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)


def _bearer(request: Request) -> str:
    """The credential of a request. Raises `InvalidToken` unless there is just one."""
    header = _only(request, "authorization")
    if header is None:
        given = request.headers.getlist("authorization")
        raise InvalidToken("more than one was sent" if given else "none was sent")
    match = _BEARER.fullmatch(header)
    if match is None:
        raise InvalidToken("the header is not `Bearer` and one word of ASCII")
    return match["credential"]


def _only(request: Request, name: str) -> str | None:
    """The header of this name, unless there is none or more than one."""
    values = request.headers.getlist(name)
    return values[0] if len(values) == 1 else None


def _is_local(host: str) -> bool:
    """Whether a `Host` header names this host by an address that none but itself can use."""
    match = _HOST.fullmatch(host)
    name = "" if match is None else match["name"].lower().strip("[]")
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _refused(
    request: Request, credential: str, reason: str, token: AgentToken | None
) -> AccessRefused:
    path = request.scope["path"][:PATH_CHARS_MAX]
    return AccessRefused(
        credential=credential,
        reason=reason,
        peer=request.client.host if request.client is not None else "",
        path=path if path.isprintable() else ascii(path),
        token=None if token is None else token.id,
        group=None if token is None else token.group,
    )
