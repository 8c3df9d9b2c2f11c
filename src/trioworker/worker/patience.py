"""Waiting for a store that does not answer."""

from random import Random

import trio

from trioworker.errors import StoreError
from trioworker.model.failures import backoff_s
from trioworker.store.protocol import Store


async def until_back(store: Store, rng: Random) -> None:
    """Return when the store answers and takes writes, however long that takes."""
    silent = 0
    while True:
        silent += 1
        await trio.sleep(backoff_s(silent, rng))
        try:
            await store.ping()
        except StoreError:
            continue
        return
