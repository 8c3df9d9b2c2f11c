"""The scripts of a worker's own, from settings.

Rule of this file: it puts the parts together and decides nothing about jobs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from trioworker.errors import UsageError
from trioworker.events import Emit
from trioworker.runners.raised import NotRunnable
from trioworker.runners.scripts import Scripts
from trioworker.settings import Settings
from trioworker.worker.own_scripts import OwnScripts
from trioworker.worker.supervisor import Stop


def check_own_scripts(settings: Settings) -> None:
    """Raises `UsageError` when one of them can never be run here."""
    for what, path in (
        ("--init-script", settings.init_script),
        ("--periodic-script", settings.periodic_script),
    ):
        if path is not None:
            try:
                _folder(settings).find(path)
            except NotRunnable as error:
                raise UsageError(f"{what}: {error}") from None


@asynccontextmanager
async def own_scripts(settings: Settings, stop: Stop, emit: Emit) -> AsyncIterator[None]:
    """Run the init script, unless a stop comes first, then the periodic one beside the worker.

    Raises `InitScriptFailed`.
    """
    scripts = OwnScripts(_folder(settings), emit)
    async with trio.open_nursery() as nursery:
        if settings.init_script is not None:
            await _begin(scripts, settings.init_script, stop)
        if settings.periodic_script is not None:
            nursery.start_soon(scripts.repeat, settings.periodic_script, settings.periodic_s)
        yield
        nursery.cancel_scope.cancel()


async def _begin(scripts: OwnScripts, path: str, stop: Stop) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_asked, stop, nursery.cancel_scope)
        await scripts.begin(path)
        nursery.cancel_scope.cancel()


async def _cancel_when_asked(stop: Stop, scope: trio.CancelScope) -> None:
    await stop.asked.wait()
    scope.cancel()


def _folder(settings: Settings) -> Scripts:
    return Scripts(settings.scripts_dir or Path.cwd())
