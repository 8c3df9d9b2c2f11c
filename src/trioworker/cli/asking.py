"""How a command asks a client one thing, and what an id looks like."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from trioworker.cli.loop import run_trio
from trioworker.cli.place import open_jobs
from trioworker.client import Client
from trioworker.errors import UsageError
from trioworker.settings import Settings

T = TypeVar("T")


def ask(settings: Settings, question: Callable[[Client], Awaitable[T]]) -> T:
    """The answer to `question`, from the jobs that the settings lead to."""

    async def answer() -> T:
        async with open_jobs(settings) as client:
            return await question(client)

    return run_trio(answer)


def id_of(text: str) -> UUID:
    """A job's id. Raises `UsageError`."""
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(
            f"'{text}' is no job's id; `trioworker jobs list` shows the ids there are"
        ) from None
