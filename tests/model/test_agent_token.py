"""A token says what it was made to say, and nothing but a token of ours is taken for one."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioworker.errors import InvalidToken, UsageError
from trioworker.model.agent_token import (
    GROUP_BYTES_MAX,
    TOKEN_CHARS_MAX,
    AgentToken,
    decode_token,
    encode_token,
    read_token,
)
from trioworker.model.tags import RANK_MAX, RANK_MIN, Tags, unranked

SECRET: Final = "s" * 32
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN: Final = AgentToken(UUID(int=1), "gpu", unranked("red", "blue"), NOW + timedelta(hours=1))
TEXT: Final = encode_token(TOKEN, SECRET)
CLAIMS: Final[dict[str, Any]] = {
    "jti": str(TOKEN.id), "group": "gpu", "tags": ["red", "blue"], "exp": 1_767_229_200,
}  # fmt: skip
_words: Final = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(
    lambda word: len(word.encode()) <= GROUP_BYTES_MAX
)


def part(value: bytes) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def made(header: object, claims: object, *, key: str = SECRET) -> str:
    """A token by somebody who has the secret and follows no library."""
    parts = [part(v if isinstance(v, bytes) else json.dumps(v).encode()) for v in (header, claims)]
    signed = ".".join(parts)
    return f"{signed}.{part(hmac.digest(key.encode(), signed.encode(), sha256))}"


@given(
    st.builds(
        AgentToken,
        st.uuids(),
        _words,
        st.lists(st.tuples(_words, st.integers(RANK_MIN, RANK_MAX)), min_size=1, max_size=5).map(
            lambda ranked: Tags(*zip(*ranked, strict=True))
        ),
        st.none() | st.integers(0, 10**9).map(lambda s: NOW + timedelta(seconds=s)),
    )
)
def test_a_token_says_what_it_was_made_to_say(token: AgentToken) -> None:
    """All of it, in whatever language."""
    assert decode_token(encode_token(token, SECRET), SECRET) == token


def test_a_token_is_a_jwt() -> None:
    """Other programs can read it, and one made by hand is the same."""
    claims = jwt.decode(TEXT, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == CLAIMS
    assert decode_token(made({"alg": "HS256", "typ": "JWT"}, CLAIMS), SECRET) == TOKEN


def test_ranks_stand_in_a_token_when_there_are_any() -> None:
    """One for each tag; without them all tags are equal."""
    ranked = AgentToken(TOKEN.id, "gpu", Tags(("red", "blue"), (-3, 0)), TOKEN.expires_at)
    text = encode_token(ranked, SECRET)
    claims = jwt.decode(text, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == CLAIMS | {"ranks": [-3, 0]}
    assert decode_token(text, SECRET) == ranked == read_token(text)


def test_a_token_ends_at_its_second() -> None:
    """Not before, and for good."""
    assert TOKEN.expires_at is not None
    TOKEN.check_time(TOKEN.expires_at - timedelta(microseconds=1))
    with pytest.raises(InvalidToken, match="expired"):
        TOKEN.check_time(TOKEN.expires_at)
    AgentToken(UUID(int=1), "gpu", unranked("red")).check_time(datetime.max.replace(tzinfo=UTC))


HEADER: Final = {"alg": "HS256", "typ": "JWT"}
FORGED: Final[dict[str, str]] = {
    "nothing": "",
    "dots": "..",
    "no parts": "token",
    "not ASCII": f"{TEXT}\u00e9",
    "a lone surrogate": f"{TEXT}\ud800",
    "too long": "a" * (TOKEN_CHARS_MAX + 1),
    "no signature": TEXT.rpartition(".")[0] + ".",
    "half a signature": TEXT[:-10],
    "another secret": encode_token(TOKEN, "t" * 32),
    "other claims": ".".join([TEXT.split(".")[0], part(b"{}"), TEXT.split(".")[2]]),
    "a space": f" {TEXT}",
    "a line": f"{TEXT}\n",
    "alg none": made({"alg": "none", "typ": "JWT"}, CLAIMS).rpartition(".")[0] + ".",
    "alg none, two parts": made({"alg": "none", "typ": "JWT"}, CLAIMS).rpartition(".")[0],
    "alg none, signed": made({"alg": "none", "typ": "JWT"}, CLAIMS),
    "alg None": made({"alg": "None", "typ": "JWT"}, CLAIMS),
    "alg RS256": made({"alg": "RS256", "typ": "JWT"}, CLAIMS),
    "alg HS512": jwt.encode(CLAIMS, "s" * 64, algorithm="HS512"),
    "no alg": made({"typ": "JWT"}, CLAIMS),
    "a list of algs": made({"alg": ["HS256"], "typ": "JWT"}, CLAIMS),
    "another header": made(HEADER | {"kid": "../../dev/null"}, CLAIMS),
    "critical": made(HEADER | {"crit": ["exp"]}, CLAIMS),
    "payload elsewhere": made(HEADER | {"b64": False, "crit": ["b64"]}, CLAIMS),
    "a deep header": made(b'{"alg":' * 1_000 + b"1" + b"}" * 1_000, CLAIMS, key="t" * 32)[:8_000],
    "deep claims": made(HEADER, b"[" * 2_000 + b"]" * 2_000),
    "claims that are no JSON": made(HEADER, b"{"),
    "claims that are no text": made(HEADER, b'{"group":"\xff"}'),
    "no id": made(HEADER, {k: v for k, v in CLAIMS.items() if k != "jti"}),
    "an id that is none": made(HEADER, CLAIMS | {"jti": "1"}),
    "no end said": made(HEADER, {k: v for k, v in CLAIMS.items() if k != "exp"}),
    "an end that is text": made(HEADER, CLAIMS | {"exp": "never"}),
    "an end past all calendars": made(HEADER, CLAIMS | {"exp": 10**18}),
    "no tags": made(HEADER, CLAIMS | {"tags": []}),
    "tags that are text": made(HEADER, CLAIMS | {"tags": "red"}),
    "fewer ranks than tags": made(HEADER, CLAIMS | {"ranks": [1]}),
    "more ranks than tags": made(HEADER, CLAIMS | {"ranks": [1, 2, 3]}),
    "a rank that is none": made(HEADER, CLAIMS | {"ranks": [1, RANK_MAX + 1]}),
    "more claims": made(HEADER, CLAIMS | {"admin": True}),
}  # fmt: skip


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED.keys())
def test_what_is_not_ours_is_refused(text: str) -> None:
    """By a reason that gives nothing of it away."""
    with pytest.raises(InvalidToken) as refused:
        decode_token(text, SECRET)
    assert len(str(refused.value)) < 40
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("place", range(0, len(TEXT), 7))
def test_no_character_of_a_token_can_be_another(place: int) -> None:
    """Wherever it stands."""
    for other in "Aa0-.":
        if other != TEXT[place]:
            with pytest.raises(InvalidToken):
                decode_token(f"{TEXT[:place]}{other}{TEXT[place + 1 :]}", SECRET)


@pytest.mark.parametrize(
    ("group", "tags", "says"),
    [
        ("", ("red",), "the group is empty"),
        ("g" * 121, ("red",), "the group is too long: 121 bytes, at most 120"),
        ("gpu", (), "give it one or more"),
        ("gpu", ("red", "t" * 121), "the tag is too long"),
        ("gpu", ("r\0d",), "a NUL character"),
        ("g\udcff", ("red",), "the group is not text in UTF-8"),
        ("gpu", ("r\udcff",), "the tag is not text in UTF-8"),
    ],
)
def test_what_no_token_can_say_is_refused(group: str, tags: tuple[str, ...], says: str) -> None:
    """When it is made, in words that mend it."""
    with pytest.raises(UsageError, match=says):
        AgentToken(UUID(int=1), group, unranked(*tags))


def test_a_token_is_not_too_long_for_a_header() -> None:
    """Too many tags are refused when it is made, not when it is used."""
    tags = tuple(f"{number:0120}" for number in range(100))
    with pytest.raises(UsageError, match=r"100 tags would have .* at most 8,000"):
        encode_token(AgentToken(UUID(int=1), "gpu", unranked(*tags)), SECRET)
