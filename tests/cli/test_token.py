"""`trioworker token`: what is made counts until it expires or is revoked, and is shown once."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.cli.commands import Run, run, run_here
from trioworker.cli.exits import ExitStatus
from trioworker.model.agent_token import AgentToken, decode_token
from trioworker.model.tags import Tags, unranked
from trioworker.store.postgres.embedded_folder import DataFolder

SECRET: Final = "0123456789abcdef" * 4
NOBODY: Final = "0197f2a0-0000-7000-8000-000000000000"
Token = Callable[..., str]


@pytest.fixture
def make(here: Run) -> Token:
    """`make("90d")` is a new token's text."""

    def made(expires: str = "90d", group: str = "gpu", tags: str = "gpu,images") -> str:
        ended = here(
            "token", "create", "--group", group, "--tags", tags, "--expires", expires,
            TRIOWORKER_AGENT_SECRET=SECRET,
        )  # fmt: skip
        return ended.well().output.removesuffix("\n")

    return made


def read(text: str) -> AgentToken:
    """What the token says."""
    return decode_token(text, SECRET)


def test_a_token_is_printed_and_nothing_else(make: Token, here: Run) -> None:
    """It says what was asked for, and stands in the list; its text is nowhere."""
    text = make()
    token = read(text)
    assert (token.group, token.tags) == ("gpu", unranked("gpu", "images"))
    (listed,) = here("token", "list", "--json").well().document
    assert (listed["id"], listed["state"], listed["workers"]) == (str(token.id), "valid", 0)
    assert listed["tags"] == ["gpu", "images"]
    assert "@" in listed["created_by"]
    (line,) = here("token", "list").well().output.splitlines()[1:]
    assert line.split()[:3] == [str(token.id), "valid", "gpu"]
    assert text not in json.dumps(listed)


def test_a_token_as_json(here: Run) -> None:
    """All of it in one document."""
    made = here(
        "token", "create", "--group", "g", "--tags", "a", "--expires", "never", "--json",
        TRIOWORKER_AGENT_SECRET=SECRET,
    ).well().document  # fmt: skip
    token = read(made["token"])
    assert made | {"token": ""} == {
        "id": str(token.id), "group": "g", "tags": ["a"], "ranks": [0], "expires_at": None,
        "token": "",
    }  # fmt: skip


def test_a_token_ranks_its_tags(make: Token, here: Run) -> None:
    """The list shows them as they were given; JSON has the tags and their ranks apart."""
    assert read(make(tags="urgent=10,default,bulk=-5")).tags == Tags(
        ("urgent", "default", "bulk"), (10, 0, -5)
    )
    (line,) = here("token", "list").well().output.splitlines()[1:]
    assert line.endswith(" urgent=10,default,bulk=-5")
    (listed,) = here("token", "list", "--json").well().document
    assert (listed["tags"], listed["ranks"]) == (["urgent", "default", "bulk"], [10, 0, -5])


@pytest.mark.parametrize(
    ("expires", "lasts"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
    ],
)
def test_a_token_lasts_as_long_as_asked(make: Token, expires: str, lasts: timedelta) -> None:
    """From now on, to the second."""
    before = datetime.now(UTC)
    until = read(make(expires)).expires_at
    assert until is not None
    assert before - timedelta(seconds=1) <= until - lasts <= datetime.now(UTC)


def test_a_token_lasts_until_a_time_or_for_ever(make: Token) -> None:
    """Whichever was said."""
    until = read(make("2100-01-31T08:00+01:00")).expires_at
    assert until == datetime(2100, 1, 31, 7, 0, tzinfo=UTC)
    assert read(make("never")).expires_at is None


def test_tokens_are_revoked(make: Token, here: Run) -> None:
    """Several at once, and again without harm; those that nobody knows make it fail."""
    ids = [str(read(make()).id) for _ in range(3)]
    assert here("token", "revoke", *ids[:2]).well().output == (
        f"{ids[0]} is revoked\n{ids[1]} is revoked\n"
    )
    ended = here("token", "revoke", ids[1], NOBODY, "--json")
    assert ended.status == ExitStatus.FAILED
    assert ended.document == {"revoked": [ids[1]], "unknown": [NOBODY]}
    assert ended.complaints == f"trioworker: not revoked, because unknown: {NOBODY}\n"
    states = [token["state"] for token in here("token", "list", "--json").document]
    assert states == ["valid", "revoked", "revoked"]
    assert len(here("token", "list", "--json", "--limit", "2").document) == 2


CREATE: Final = ("create", "--group", "g", "--tags", "a", "--expires", "1d")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("create", "--tags", "a", "--expires", "1d"), "missing option '--group'"),
        (("create", "--group", "g", "--expires", "1d"), "missing option '--tags'"),
        (("create", "--group", "g", "--tags", "a"), "missing option '--expires'"),
        ((*CREATE, "--group", ""), "the group is empty"),
        ((*CREATE, "--group", "g" * 121), "the group is too long: 121 bytes, at most 120"),
        ((*CREATE, "--group", "g\0"), "the group contains a NUL character"),
        ((*CREATE, "--group", "g\udcff"), "the group is not text in UTF-8"),
        ((*CREATE, "--tags", " , "), "--tags= , will not do; give one or more tags"),
        ((*CREATE, "--tags", "\udcff"), "will not do; give one or more tags in UTF-8"),
        ((*CREATE, "--tags", "t" * 121), "a tag of 121 bytes is too long; at most 120"),
        ((*CREATE, "--tags", "a=high"), "the rank of the tag 'a' is 'high'"),
        ((*CREATE, "--tags", ",".join(map(str, range(9_999)))), "give it fewer or shorter ones"),
        ((*CREATE, "--expires", ""), "--expires= will not do; give a time from now on, as 30m"),
        ((*CREATE, "--expires", "soon"), "as 30m, 12h or 90d, a moment, as 2030-01-31T08:00"),
        ((*CREATE, "--expires", "90"), "--expires=90 will not do"),
        ((*CREATE, "--expires", "1y"), "--expires=1y will not do"),
        ((*CREATE, "--expires", "-1d"), "--expires=-1d will not do"),
        ((*CREATE, "--expires", "0d"), "--expires=0d is over already; give a time to come"),
        ((*CREATE, "--expires", "2020-01-01"), "2020-01-01 is over already"),
        ((*CREATE, "--expires", "999999999d"), "leads past all calendars; say never"),
        ((*CREATE, "--agent-secret", "short"), "--agent-secret will not do; give 32 to 200"),
        (("list", "--limit", "0"), "a limit of 0 will not do; it goes from 1 to"),
        (("revoke",), "missing argument 'ID'"),
        (("revoke", "42"), "'42' is no token's id; `trioworker token list` shows"),
    ],
)
def test_a_mistake_is_one_line(module_url: str, arguments: tuple[str, ...], complaint: str) -> None:
    """It says what is wrong and how to mend it, and no token is made."""
    here = partial(run_here, url=module_url)
    ended = here("token", *arguments, TRIOWORKER_AGENT_SECRET=SECRET)
    assert ended.status == ExitStatus.USAGE
    assert complaint in ended.complaints
    assert ended.complaints.count("\n") == 1
    assert ended.output == ""
    assert here("token", "list", "--json").document == []


def test_a_database_of_ones_own_has_no_secret(here: Run) -> None:
    """It has no default; looking and revoking need none."""
    ended = here("token", *CREATE)
    assert ended.status == ExitStatus.USAGE
    assert "set TRIOWORKER_AGENT_SECRET to the one of the servers, 32 to 200" in ended.complaints
    assert here("token", "list", "--json").well().document == []


def test_an_old_schema_is_told(database_url: str, here: Run) -> None:
    """As by every other command."""
    with psycopg.connect(database_url) as connection:
        connection.execute("delete from trioworker.migration where number >= 10")
    ended = here("token", "list")
    assert ended.status == ExitStatus.UNREACHABLE
    assert "run `trioworker migrate` first" in ended.complaints


def test_the_embedded_database_has_a_secret(tmp_path: Path) -> None:
    """Made with the first token."""
    folder = ("--data-dir", str(tmp_path / "data"))
    text = run("token", *CREATE, *folder, url=None).well().output.strip()
    secret = DataFolder(tmp_path / "data").agent_secret.read_text().strip()
    (listed,) = run("token", "list", "--json", *folder, url=None).well().document
    assert listed["id"] == str(decode_token(text, secret).id)
