"""`trioworker token`: make tokens for agents, look at them, revoke them."""

import re
from collections.abc import AsyncIterator, Collection, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeAlias
from uuid import UUID

import msgspec
import typer

from trioworker.cli.exits import ExitStatus
from trioworker.cli.loop import run_trio
from trioworker.cli.me import me
from trioworker.cli.options import DATABASE, takes_settings
from trioworker.cli.output import (
    complain,
    on_one_line,
    print_json,
    print_table,
    shortened,
    shown_time,
)
from trioworker.cli.place import agent_secret, open_admin, open_place
from trioworker.cli.wanted import parse_time
from trioworker.errors import UsageError
from trioworker.ids import new_id
from trioworker.looking import bounded_limit
from trioworker.model.agent_token import AgentToken, TokenState, encode_token
from trioworker.model.tags import Tags
from trioworker.settings import TABLE, Settings
from trioworker.store.postgres.migrate import ADMIN, check_schema
from trioworker.store.postgres.tokens import PostgresTokens

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
NEVER: Final = "never"
SHOWN_CELLS_MAX: Final = 100
UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_SPAN: Final = re.compile(r"[0-9]{1,9}[mhd]")

token_app = typer.Typer(
    help="Make tokens for agents, look at them, revoke them.", no_args_is_help=True
)


@token_app.command()
@takes_settings((*DATABASE, "agent_secret"))
def create(
    settings: Settings,
    *,
    group: Annotated[
        str, typer.Option("--group", metavar="NAME", help="What its agents have in common.")
    ],
    tag_list: Annotated[
        str, typer.Option("--tags", metavar="TAG[=RANK],…", help="Which jobs its agents take.")
    ],
    expires: Annotated[
        str,
        typer.Option(
            "--expires", metavar="WHEN", help=f"As 30m, 12h, 90d, 2030-01-31T08:00, or {NEVER}."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Make a token, and print it.

    It is shown this once and not stored; give it to an agent as AGENT_TOKEN.
    """
    text, token = run_trio(_create, settings, group, _tags(tag_list), expires)
    if as_json:
        print_json(_document(token) | {"token": text})
    else:
        typer.echo(text)


@token_app.command("list")
@takes_settings()
def list_tokens(
    settings: Settings,
    *,
    limit: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """The tokens that were made, the newest first."""
    found = run_trio(_list, settings, bounded_limit(limit))
    if as_json:
        print_json(found)
        return
    columns = ("id", "state", "group", "workers", "expires", "created", "created by", "tags")
    print_table(columns, map(_row, found))


@token_app.command()
@takes_settings()
def revoke(
    settings: Settings,
    tokens: Annotated[list[str], typer.Argument(metavar="ID", help="The tokens' ids.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Let tokens count no longer.

    Servers refuse them from then on, a second later at most. Fails unless there are all.
    """
    ids = list(dict.fromkeys(map(_id, tokens)))
    revoked = run_trio(_revoke, settings, ids)
    unknown = [id_ for id_ in ids if id_ not in revoked]
    if as_json:
        print_json({"revoked": [id_ for id_ in ids if id_ in revoked], "unknown": unknown})
    else:
        for id_ in ids:
            if id_ in revoked:
                typer.echo(f"{id_} is revoked")
    if unknown:
        complain(f"not revoked, because unknown: {', '.join(map(str, unknown))}")
    raise typer.Exit(ExitStatus.FAILED if unknown else ExitStatus.OK)


async def _create(
    settings: Settings, group: str, tags: Tags, expires: str
) -> tuple[str, AgentToken]:
    secret = await agent_secret(settings)
    if secret is None:
        raise UsageError(
            "there is no secret to sign the token with; set TRIOWORKER_AGENT_SECRET to the one of"
            f" the servers, {TABLE['agent_secret'].kind.shape}"
        )
    async with _open_tokens(settings) as tokens:
        until = _expiry(expires, await tokens.now())
        token = AgentToken(new_id(), group, tags, until)
        text = encode_token(token, secret)
        await tokens.add(token, created_by=me())
    return text, token


async def _list(settings: Settings, limit: int) -> Sequence[TokenState]:
    async with _open_tokens(settings) as tokens:
        return await tokens.newest(limit)


async def _revoke(settings: Settings, ids: Collection[UUID]) -> AbstractSet[UUID]:
    async with _open_tokens(settings) as tokens:
        return await tokens.revoke(ids)


@asynccontextmanager
async def _open_tokens(settings: Settings) -> AsyncIterator[PostgresTokens]:
    async with open_place(settings) as url, open_admin(url, settings) as database:
        await check_schema(database, settings.schema)
        yield PostgresTokens(database, ADMIN)


def _tags(text: str) -> Tags:
    kind = TABLE["tags"].kind
    try:
        found = kind.read(text)
    except ValueError:
        raise UsageError(f"{_said('--tags', text)} will not do; give {kind.shape}") from None
    assert isinstance(found, Tags)
    return found


def _expiry(text: str, now: datetime) -> datetime | None:
    """When a token that is made now expires, to the second. Raises `UsageError`."""
    if text == NEVER:
        return None
    until = _after(text, now) if _SPAN.fullmatch(text) else _moment(text)
    if until <= now:
        raise UsageError(f"--expires={text} is over already; give a time to come")
    return until.replace(microsecond=0)


def _moment(text: str) -> datetime:
    try:
        return parse_time(text)
    except UsageError:
        raise UsageError(
            f"{_said('--expires', text)} will not do; give a time from now on, as 30m, 12h or 90d,"
            f" a moment, as 2030-01-31T08:00, or {NEVER}"
        ) from None


def _after(span: str, now: datetime) -> datetime:
    try:
        return now + int(span[:-1]) * UNITS[span[-1]]
    except OverflowError:
        raise UsageError(f"--expires={span} leads past all calendars; say {NEVER}") from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(
            f"'{_shown(text)}' is no token's id; `trioworker token list` shows what there are"
        ) from None


def _said(flag: str, text: str) -> str:
    return f"{flag}={_shown(text)}"


def _shown(text: str) -> str:
    return shortened(on_one_line(text), SHOWN_CELLS_MAX)


def _document(token: AgentToken) -> dict[str, object]:
    """What a token says, its tags and their ranks apart, as in the list."""
    tags = {"tags": token.tags.names, "ranks": token.tags.ranks}
    return msgspec.structs.asdict(token) | tags


def _row(token: TokenState) -> tuple[object, ...]:
    return (
        token.id,
        token.state,
        token.group,
        token.workers,
        shown_time(token.expires_at) or NEVER,
        shown_time(token.created_at),
        token.created_by,
        str(Tags(tuple(token.tags), tuple(token.ranks))),
    )
