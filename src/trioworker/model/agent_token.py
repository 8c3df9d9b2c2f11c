"""What an agent shows to the server: a token that says its group and its tags, signed by us.

Rule of this file: pure. A token of ours has the shape that `encode_token` gives it, header
included, and nothing else is one, whatever its signature. PyJWT does the signature and no more: it
would compare `exp` with a clock of its own. Whether a token was revoked is stored, not signed.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeAlias
from uuid import UUID

import jwt
import msgspec

from trioworker.errors import InvalidToken, UsageError
from trioworker.model.bounds import TAG_BYTES_MAX, bounded_text
from trioworker.model.tags import RANK_MAX, RANK_MIN, Tags, unranked

ALGORITHM: Final = "HS256"
TOKEN_CHARS_MAX: Final = 8_000
"""It travels in a header, and servers take no more than 8 or 16 KiB of those together."""
GROUP_BYTES_MAX: Final = 120
SECRET_CHARS_MIN: Final = 32
"""As many bytes as the digest has; RFC 7518, section 3.2."""

Standing: TypeAlias = Literal["valid", "expired", "revoked"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HEADER: Final = {"alg": ALGORITHM, "typ": "JWT"}
_SHAPE: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_jws: Final = jwt.PyJWS(algorithms=[ALGORITHM])


class AgentToken(msgspec.Struct, frozen=True):
    """What a token says. The server goes by it, never by what the agent says of itself.

    `expires_at` is a whole second; None: never. Raises `UsageError` for what no token can say.
    """

    id: UUID
    group: str
    tags: Tags
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        _check_text("group", self.group, GROUP_BYTES_MAX)
        if not self.tags.names:
            raise UsageError("a token without tags is of no use; give it one or more")
        for tag in self.tags.names:
            _check_text("tag", tag, TAG_BYTES_MAX)

    def check_time(self, now: datetime) -> None:
        """Raises `InvalidToken` when its time is over."""
        if self.expires_at is not None and now >= self.expires_at:
            raise InvalidToken("the token has expired")


class TokenState(msgspec.Struct, frozen=True, kw_only=True):
    """What people are shown of a token; `workers` is how many have it and have not ended."""

    id: UUID
    group: str
    tags: Sequence[str]
    ranks: Sequence[int]
    state: Standing
    expires_at: datetime | None
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    workers: int


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is signed. `exp` counts the seconds since 1970; no `ranks` at all: each is 0."""

    jti: UUID
    group: str
    tags: tuple[str, ...]
    exp: int | None
    ranks: tuple[Annotated[int, msgspec.Meta(ge=RANK_MIN, le=RANK_MAX)], ...] = ()


_decode_claims: Final = msgspec.json.Decoder(_Claims).decode


def encode_token(token: AgentToken, secret: str) -> str:
    """The token as text, signed. Raises `UsageError` when it is too long for a header."""
    exp = None if token.expires_at is None else (token.expires_at - _EPOCH) // timedelta(seconds=1)
    names, ranks = token.tags.names, token.tags.ranks
    claims = _Claims(token.id, token.group, names, exp, ranks if any(ranks) else ())
    text = _jws.encode(msgspec.json.encode(claims), secret, algorithm=ALGORITHM)
    if len(text) > TOKEN_CHARS_MAX:
        raise UsageError(
            f"a token with these {len(names)} tags would have {len(text):,} characters, at"
            f" most {TOKEN_CHARS_MAX:,}; give it fewer or shorter ones"
        )
    return text


def decode_token(text: str, secret: str) -> AgentToken:
    """What a token of ours says; it may have expired.

    Raises `InvalidToken`, whose message is for the log of the server: it says nothing of `text`.
    """
    if len(text) > TOKEN_CHARS_MAX:
        raise InvalidToken("the token is too long")
    if not _SHAPE.fullmatch(text):
        raise InvalidToken("the text is no token")
    try:
        found = _jws.decode_complete(text, secret, algorithms=[ALGORITHM])
    except jwt.InvalidSignatureError:
        raise InvalidToken("the signature is not ours") from None
    except jwt.InvalidAlgorithmError:
        raise InvalidToken(f"the algorithm is not {ALGORITHM}") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise InvalidToken("the text is no token") from None
    if found["header"] != _HEADER:
        raise InvalidToken("the header is not ours")
    try:
        return _token(_decode_claims(found["payload"]))
    except (msgspec.DecodeError, UsageError, ValueError, OverflowError, RecursionError):
        raise InvalidToken("the claims are not ours") from None


def read_token(text: str) -> AgentToken:
    """What a token says, whoever has signed it: for the agent that shows it, and has no secret.

    Raises `UsageError` when it can be no token of ours.
    """
    try:
        found = _jws.decode_complete(text, options={"verify_signature": False})
        return _token(_decode_claims(found["payload"]))
    except (jwt.PyJWTError, msgspec.DecodeError, UsageError, ValueError, OverflowError):
        raise UsageError(
            "AGENT_TOKEN is no token; set it to what `trioworker token create` prints"
        ) from None


def _token(claims: _Claims) -> AgentToken:
    expires_at = None if claims.exp is None else _EPOCH + timedelta(seconds=claims.exp)
    return AgentToken(claims.jti, claims.group, _tags(claims), expires_at)


def _tags(claims: _Claims) -> Tags:
    if not claims.ranks:
        return unranked(*claims.tags)
    if len(claims.ranks) != len(claims.tags):
        raise UsageError("there are not as many ranks as tags")
    return Tags(claims.tags, claims.ranks)


def _check_text(what: str, value: str, bytes_max: int) -> None:
    bounded_text(what, value, bytes_max)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the {what} is not text in UTF-8") from None
