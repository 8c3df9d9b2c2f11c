"""Behind PgBouncer, whose transactions each get another server connection: all works the same."""

from collections.abc import Iterator

import psycopg
import pytest
import trio

from tests.store.postgres.poolers import PGBOUNCER, pooler_before
from tests.worker.harness import Rig
from trioworker.client import open_client
from trioworker.errors import Refused, ServerUnavailable
from trioworker.events import discard
from trioworker.ids import new_id
from trioworker.model.batching import Mode
from trioworker.store.postgres.database import Lane, Transaction, open_database
from trioworker.store.postgres.store import (
    COMMIT,
    CONTROL,
    PULL,
    READY_CHANNEL,
    WORKER_LANES,
    PostgresStore,
)

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
SIZE = 3
SETTINGS = ("synchronous_commit", "plan_cache_mode", "enable_seqscan")


@pytest.fixture
def pooler_url(database_url: str) -> Iterator[str]:
    """A pooler before the test's database, with fewer connections than a worker makes."""
    with pooler_before(database_url, size=SIZE) as url:
        yield url


@pytest.mark.parametrize("mode", [Mode.AGENT_BATCH, Mode.WORKER])
async def test_a_worker_drains_its_queue(pooler_url: str, database_url: str, mode: Mode) -> None:
    """With lanes that have more connections together than the pooler has to the server."""
    async with open_database(pooler_url, WORKER_LANES, emit=discard) as database:
        rig = Rig(pooler_url, database, [])
        jobs = await rig.enqueue(60)
        await rig.work(mode=mode)
    with psycopg.connect(database_url) as direct:
        stored = direct.execute("select id from trioworker.job_completed").fetchall()
        backends = direct.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert {row[0] for row in stored} == set(jobs)
    assert rig.runner.executions == dict.fromkeys(jobs, 1)
    assert backends is not None
    assert backends[0] <= SIZE


async def test_settings_come_with_each_transaction(pooler_url: str) -> None:
    """And never stay with the connection, which is another's next."""
    lanes = (Lane(PULL, durable=False), Lane(COMMIT))
    async with open_database(pooler_url, lanes, emit=discard) as database:
        for lane, synchronous in ((PULL, "off"), (COMMIT, "on")):
            shown: list[str] = []

            async def body(tx: Transaction, shown: list[str] = shown) -> None:
                fetch = tx._connection.fetch  # type: ignore[attr-defined]  # noqa: SLF001 - to look
                for name in SETTINGS:
                    [row] = await fetch(f"show {name}")
                    shown.append(row[0])

            await database.transact(lane, body)
            assert shown == [synchronous, "force_generic_plan", "off"]
    with psycopg.connect(pooler_url, autocommit=True, prepare_threshold=None) as another:
        left = another.execute("show plan_cache_mode").fetchone()
    assert left == ("auto",)


async def test_a_transaction_that_fails_is_rolled_back(pooler_url: str, database_url: str) -> None:
    """The next one on the same connection begins anew."""
    job = new_id()
    async with open_database(pooler_url, WORKER_LANES, emit=discard) as database:
        store = PostgresStore(database, now_s=trio.current_time)

        async def body(tx: Transaction) -> None:
            await tx.run("store_labels", [job], ["stored"])
            await tx.run("store_labels", [job], ["refused\0"])

        for _ in range(2 * SIZE):
            with pytest.raises(Refused):
                await database.transact(CONTROL, body)
        assert await store.next_due_s(["default"]) is None
    with psycopg.connect(database_url) as direct:
        assert direct.execute("select * from trioworker.job_label").fetchall() == []


async def test_nobody_listens_through_it(pooler_url: str) -> None:
    """Whoever would is told so at once, and looks instead."""
    async with open_database(pooler_url, WORKER_LANES, emit=discard) as database:
        with pytest.raises(ServerUnavailable, match="direct address"):
            await database.listen((READY_CHANNEL,), lambda _channel, _payload: None)


async def test_a_direct_address_is_for_listening(pooler_url: str, database_url: str) -> None:
    """Notifications come past the pooler, while statements go through it."""
    heard = trio.Event()
    async with open_database(
        pooler_url, WORKER_LANES, emit=discard, listen_url=database_url
    ) as database:

        def note(channel: str, _payload: str) -> None:
            if channel == READY_CHANNEL:
                heard.set()
            else:
                listening.set()

        listening = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.listen, (READY_CHANNEL,), note)
            await listening.wait()
            await database.run(CONTROL, "notify_ready", ["default"])
            await heard.wait()
            nursery.cancel_scope.cancel()


async def test_a_client_gets_its_result(pooler_url: str) -> None:
    """By looking, since nobody tells it."""
    async with (
        open_client(pooler_url) as client,
        open_database(pooler_url, WORKER_LANES, emit=discard) as database,
        trio.open_nursery() as nursery,
    ):
        rig = Rig(pooler_url, database, [])
        job = await client.enqueue("noop", kind="noop", awaited=True)
        nursery.start_soon(rig.work)
        assert await client.result(job, timeout_s=30) is None
