"""The jobs API of a real server on a real database, and a client that asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import trio

from trioworker.app import App
from trioworker.events import Emit, discard, fan_out
from trioworker.server.auth import KeyAuth
from trioworker.server.metrics import Metrics
from trioworker.server.operations import Keys
from trioworker.server.running import SERVER_LANES, served
from trioworker.settings import Address
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import WORKER_LANES, PostgresStore

ANY_PORT: Final = Address("127.0.0.1", 0)
PATIENCE_S: Final = 30.0
NOWHERE: Final = "0197f2a0-0000-7000-8000-000000000000"


@asynccontextmanager
async def api(
    url: str,
    *,
    app: App | None = None,
    keys: Keys | None = None,
    emit: Emit = discard,
    listen: Address = ANY_PORT,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server of the database at `url`."""
    metrics = Metrics()
    lanes = (*WORKER_LANES, *SERVER_LANES)
    async with (
        open_database(url, lanes, emit=metrics) as database,
        served(
            database,
            PostgresStore(database, now_s=trio.current_time),
            listen,
            app=app,
            keys=keys or KeyAuth(None, listen, emit=emit),
            metrics=metrics,
            emit=fan_out(metrics, emit),
        ) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE_S) as client,
    ):
        yield client


async def enqueued(client: httpx.AsyncClient, path: str = "greet", **job: Any) -> str:  # noqa: ANN401 - JSON
    """The id of a new job."""
    said = await client.post("/api/jobs", json={"path": path, **job})
    assert said.status_code == 201, said.text
    return str(said.json()["id"])


async def result(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    """How the job ended."""
    said = await client.get(f"/api/jobs/{job}/result", params={"wait_s": PATIENCE_S})
    assert said.status_code == 200, said.text
    found: dict[str, Any] = said.json()
    return found
