"""An agent from settings: a worker without a database, whose jobs come from a server over HTTP.

Rule of this file: it puts the parts together and decides nothing about jobs.
"""

from contextlib import AsyncExitStack
from random import Random

import msgspec
import trio

from trioworker.app import App
from trioworker.cli.own_scripts import own_scripts
from trioworker.cli.progress import Tally, showing
from trioworker.cli.sinks import Log, log_sink
from trioworker.cli.work import (
    check_folders,
    runners_for,
    shelf_for,
    stop_on_signals,
    tell_cut_chunks,
    worker_config,
)
from trioworker.errors import NotAllowed, ServerAway, StoreError, UsageError
from trioworker.events import fan_out
from trioworker.ids import new_id
from trioworker.model.agent_token import read_token
from trioworker.runners.registry import open_runners
from trioworker.runners.shared_folders import SharedFolders, default_base
from trioworker.settings import Settings
from trioworker.store.agent import open_agent_store
from trioworker.worker.config import Ports
from trioworker.worker.supervisor import Report, work


async def work_from(settings: Settings, app: App | None, tally: Tally, *, drain: bool) -> Report:
    """Work on the jobs of the server in the settings until drained, or until SIGTERM or SIGINT.

    The tags are those of the token. Raises `UsageError` when the token will not do or the app
    cannot be served; `ServerAway` when the server cannot be used at the start.
    """
    server, token = settings.base_internal_url, settings.agent_token
    assert server is not None
    assert token is not None
    log, rng = Log(settings.log_level, settings.log_format), Random()
    settings = msgspec.structs.replace(settings, tags=read_token(token).tags)
    check_folders(settings)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_agent_store(
                server,
                token,
                batches=settings.mode.batches,
                now_s=trio.current_time,
                timeout_s=settings.command_timeout_s,
            )
        )
        shelf = shelf_for(settings, store, rng)
        runners = runners_for(settings, app, rng, shelf)
        stop = await stack.enter_async_context(stop_on_signals())
        if drain:
            await stack.enter_async_context(showing(tally, log, total=None))
        await stack.enter_async_context(open_runners(runners))
        shared = SharedFolders(default_base())
        await stack.enter_async_context(shared.open())
        emit = fan_out(tally, log_sink(log))
        tell_cut_chunks(app, settings.concurrency, emit)
        await stack.enter_async_context(own_scripts(settings, stop, emit))
        try:
            return await work(
                store=store,
                runners=runners,
                config=worker_config(settings, drain=drain),
                ports=Ports(new_id, rng),
                stop=stop,
                emit=emit,
                scripts=shelf.scripts,
                shared=shared,
            )
        except NotAllowed as error:
            raise UsageError(f"{server} takes no such agent: {error}") from error
        except StoreError as error:
            raise ServerAway(
                f"{error}; check BASE_INTERNAL_URL, and that a server runs there"
            ) from error
