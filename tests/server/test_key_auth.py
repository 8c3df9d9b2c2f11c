"""Who has the key may ask; without one programs on this host, and no page in a browser on it."""

from collections.abc import Sequence
from typing import Final

import pytest
from starlette.requests import Request

from trioworker.errors import UsageError
from trioworker.events import AccessRefused, Event
from trioworker.server.auth import NO_PAGES, THIS_HOST_ONLY, UNKNOWN_CLIENT, KeyAuth
from trioworker.server.errors import Forbidden, HttpError, Unauthorised
from trioworker.settings import Address

KEY: Final = "a-key.of~32+letters/and=digits00"
HERE: Final = Address("127.0.0.1", 8600)
ANYWHERE: Final = Address("0.0.0.0", 8600)  # noqa: S104 - nothing listens
LOCAL: Final = ("host", "localhost:8600")


def asked(*headers: tuple[str, str | bytes]) -> Request:
    """A request with these headers."""
    raw = [(n.encode(), v if isinstance(v, bytes) else v.encode()) for n, v in headers]
    return Request(
        {
            "type": "http", "method": "POST", "path": "/api/jobs", "query_string": b"",
            "headers": raw, "client": ("127.0.0.1", 40_000), "http_version": "1.1",
        }
    )  # fmt: skip


def refusal(
    request: Request, *, key: str | None = None, listen: Address = HERE
) -> tuple[HttpError, str]:
    """With what the request is refused, and the reason in the event."""
    events: list[Event] = []
    with pytest.raises(HttpError) as told:
        KeyAuth(key, listen, emit=events.append).check(request)
    (event,) = events
    assert isinstance(event, AccessRefused)
    assert (event.credential, event.peer, event.path) == ("key", "127.0.0.1", "/api/jobs")
    return told.value, event.reason


def passes(request: Request, *, key: str | None = None, listen: Address = HERE) -> None:
    """The request is let in, and nobody hears of it."""
    events: list[Event] = []
    KeyAuth(key, listen, emit=events.append).check(request)
    assert events == []


# ---- with a key -------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", [HERE, ANYWHERE], ids=str)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_key_opens(listen: Address, scheme: str) -> None:
    """From anywhere, under any name, from any page: who has it may ask."""
    headers = [("host", "jobs.example.com"), ("origin", "https://example.com")]
    passes(asked(*headers, ("authorization", f"{scheme} {KEY}")), key=KEY, listen=listen)


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        ((), "none was sent"),
        (("",), "is not `Bearer`"),
        (("Bearer ",), "is not `Bearer`"),
        ((KEY,), "is not `Bearer`"),
        ((f"Basic {KEY}",), "is not `Bearer`"),
        ((f"Bearer {KEY}", f"Bearer {KEY}"), "more than one was sent"),
        ((f"Bearer {KEY} {KEY}",), "is not `Bearer`"),
        ((f"Bearer {KEY}".encode() + b"\xff",), "is not `Bearer`"),
        ((f"Bearer {KEY}\0",), "is not `Bearer`"),
        ((f"Bearer {KEY[:-1]}",), "the key is wrong"),
        ((f"Bearer {KEY}0",), "the key is wrong"),
        ((f"Bearer {KEY.upper()}",), "the key is wrong"),
        ((f"Bearer {'0' * 32}",), "the key is wrong"),
    ],
)
def test_nothing_else_does(credentials: Sequence[str | bytes], reason: str) -> None:
    """Not on this host either, and whoever asks is not told how far off it was."""
    request = asked(LOCAL, *(("authorization", one) for one in credentials))
    told, why = refusal(request, key=KEY)
    assert isinstance(told, Unauthorised)
    assert (told.status, told.sentence) == (401, UNKNOWN_CLIENT)
    assert told.headers == {"WWW-Authenticate": "Bearer"}
    assert reason in why
    assert KEY[:-1] not in why


# ---- without a key ----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "jobs.example.com", ""])  # noqa: S104 - nothing listens
def test_what_others_can_reach_needs_a_key(host: str) -> None:
    """It is an error at the start, which says how to mend it."""
    with pytest.raises(UsageError, match="set TRIOWORKER_API_KEY, or listen at 127"):
        KeyAuth(None, Address(host, 8600), emit=print)


@pytest.mark.parametrize(
    "host",
    ["localhost:8600", "localhost", "LocalHost:8600", "127.0.0.1:8600", "127.0.0.2", "[::1]:8600"],
)
def test_a_program_on_this_host_may_ask(host: str) -> None:
    """By any of the names that lead nowhere else."""
    passes(asked(("host", host)))


@pytest.mark.parametrize(
    "listen", [HERE, Address("localhost", 1), Address("::1", 1), Address("127.9.9.9", 1)], ids=str
)
def test_this_host_alone_needs_no_key(listen: Address) -> None:
    """Whatever it is called."""
    passes(asked(LOCAL), listen=listen)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("host", ""),),
        (("host", "evil.example.com"),),
        (("host", "evil.example.com:8600"),),
        (("host", "localhost.evil.example.com"),),
        (("host", "127.0.0.1.evil.example.com"),),
        (("host", "evil.example.com#localhost"),),
        (("host", "evil.example.com@localhost"),),
        (("host", "localhost:8600:80"),),
        (("host", "localhost\0"),),
        (("host", b"localhost\xff"),),
        (("host", "192.0.2.1:8600"),),
        (("host", "0.0.0.0:8600"),),
        (("host", "127.1"),),
        (("host", "2130706433"),),
        (("host", "[::]:8600"),),
        (LOCAL, LOCAL),
        (LOCAL, ("host", "evil.example.com")),
        (LOCAL, ("x-forwarded-for", "192.0.2.7")),
        (LOCAL, ("forwarded", "for=192.0.2.7")),
        (LOCAL, ("via", "1.1 proxy")),
    ],
    ids=str,
)
def test_a_name_of_somebody_elses_does_not_do(headers: Sequence[tuple[str, str]]) -> None:
    """One that leads here all the same (DNS rebinding), one that is none, and a proxy's word."""
    told, why = refusal(asked(*headers))
    assert isinstance(told, Forbidden)
    assert (told.status, told.sentence) == (403, THIS_HOST_ONLY)
    assert "sent to a name of this host" in why or "through a proxy" in why


@pytest.mark.parametrize(
    "headers",
    [
        (("origin", "https://evil.example.com"),),
        (("origin", "null"),),
        (("origin", ""),),
        (("origin", "http://localhost:3000"),),
        (("origin", "https://localhost:8600"),),
        (("origin", "http://localhost:8600.evil.example.com"),),
        (("origin", "http://localhost:8600"), ("origin", "https://evil.example.com")),
        (("sec-fetch-site", "cross-site"),),
        (("sec-fetch-site", "same-site"),),
        (("sec-fetch-site", ""),),
        (("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")),
        (("origin", "http://localhost:8600"), ("sec-fetch-site", "cross-site")),
    ],
    ids=str,
)
def test_another_page_in_a_browser_may_not_ask(headers: Sequence[tuple[str, str]]) -> None:
    """Although the browser is on this host and the name is right."""
    told, why = refusal(asked(LOCAL, *headers))
    assert isinstance(told, Forbidden)
    assert (told.status, told.sentence) == (403, NO_PAGES)
    assert why == "the request came from another page in a browser"


@pytest.mark.parametrize(
    "headers",
    [
        (("origin", "http://localhost:8600"),),
        (("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8600")),
        (("sec-fetch-site", "none"),),
    ],
    ids=str,
)
def test_our_own_pages_and_the_address_bar_may(headers: Sequence[tuple[str, str]]) -> None:
    """That is what a dashboard is."""
    passes(asked(LOCAL, *headers))
