"""`trioworker jobs retry`: what is asked for, and what is said about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

import msgspec
import typer

from trioworker.cli.exits import ExitStatus
from trioworker.cli.output import complain, counted, print_json
from trioworker.cli.wanted import parse_time
from trioworker.client import Client
from trioworker.errors import UsageError
from trioworker.model.state import Requeued, State


@dataclass(frozen=True)
class DeadLetters:
    """Which jobs that have ended are meant by `--all`; None is any, and failures."""

    state: str | None
    path: str | None
    tag: str | None
    since: str | None

    def checked(self, *, everything: bool, ids: Sequence[str]) -> "DeadLetters | None":
        """What is meant, None for ids alone. Raises `UsageError` for both, or neither."""
        narrowed = self != DeadLetters(None, None, None, None)
        if ids and (everything or narrowed):
            raise UsageError("give either the ids of jobs or --all with what narrows it, not both")
        if not ids and not everything:
            raise UsageError("which jobs? give their ids, or --all, perhaps with --path, --since …")
        return self if everything else None

    @property
    def since_when(self) -> datetime | None:
        """The time that `--since` means. Raises `UsageError`."""
        return None if self.since is None else parse_time(self.since, flag="--since")


class Retried(msgspec.Struct, frozen=True):
    """What became of all of them; `unfit` are those named that had not failed, or never existed."""

    ready: Sequence[UUID]
    kept_out: dict[UUID, UUID]
    unfit: Sequence[UUID]


async def retried(client: Client, ids: Sequence[UUID], wanted: DeadLetters | None) -> Retried:
    """Run them once more."""
    if wanted is None:
        found = [await client.retry(ids)]
    else:
        state = cast("State", wanted.state or "failure")  # the client says so if it is none
        found = [
            part
            async for part in client.retry_all(
                state=state, path=wanted.path, tag=wanted.tag, since=wanted.since_when
            )
        ]
    return _together(found, ids)


def tell_retried(found: Retried, *, as_json: bool) -> ExitStatus:
    """Say it, and how the command ends."""
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{counted(len(found.ready), 'job')} ready once more")
    for id_, holder in found.kept_out.items():
        complain(f"job {id_} is unique, and job {holder} has its key now")
    if found.unfit:
        complain(f"not retried, because they have not failed: {', '.join(map(str, found.unfit))}")
    return ExitStatus.FAILED if found.kept_out or found.unfit else ExitStatus.OK


def _together(found: Sequence[Requeued], ids: Sequence[UUID]) -> Retried:
    ready = [id_ for part in found for id_ in part.ready]
    kept_out = {id_: holder for part in found for id_, holder in part.kept_out.items()}
    again = {*ready, *kept_out}
    return Retried(ready, kept_out, [id_ for id_ in dict.fromkeys(ids) if id_ not in again])
