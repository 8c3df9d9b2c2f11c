"""What a process with the database does for all workers, when it has no worker of its own.

Rule of this file: it is the worker's own maintenance, and a line for hints. Agents have no database
to sweep, so without this a queue that they alone work on would keep what the dead among them hold.
"""

from collections.abc import Callable
from random import Random
from typing import NoReturn

import trio

from trioworker.errors import StoreError
from trioworker.model.failures import backoff_s
from trioworker.store.protocol import Hint, Store
from trioworker.worker.channel import Reminder
from trioworker.worker.config import Context
from trioworker.worker.maintenance import Maintenance


async def listen(store: Store, heard: Callable[[Hint], None], rng: Random) -> NoReturn:
    """Pass hints on until cancelled; a line that is lost is opened again."""
    tries = 0

    def hear(hint: Hint) -> None:
        nonlocal tries
        tries = 0
        heard(hint)

    while True:
        tries += 1
        try:
            await store.listen(hear)
        except StoreError:
            await trio.sleep(backoff_s(tries, rng))


async def sweep(context: Context) -> NoReturn:
    """Sweep until cancelled, at the usual times and when a job comes that a limit may hold up."""
    maintenance = Maintenance(context, promoted=Reminder())

    def heard(hint: Hint) -> None:
        if hint.anything or hint.tag is not None:
            maintenance.wake.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, context.store, heard, context.ports.rng)
        await maintenance.sweep()
        await maintenance.run()
    raise AssertionError  # they end by being cancelled
