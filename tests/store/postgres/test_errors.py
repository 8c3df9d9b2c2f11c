"""What the server refuses, as our errors: by type and code, on real errors from a real server.

Lines that break and connections that fail are in `test_lines.py`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import asyncpg
import psycopg
import pytest
import trio

from tests.store.postgres.scene import Scene, on_every_version, until
from trioworker import errors
from trioworker.errors import (
    ConnectionLost,
    Contention,
    Exhausted,
    Refused,
    SchemaMismatch,
    ServerUnavailable,
    StatementTimeout,
    StoreError,
    TrioworkerError,
    UnknownStoreError,
)
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.store import COMMIT
from trioworker.store.postgres.translation import translate

Body = Callable[[Transaction], Awaitable[object]]

IN_TRANSACTION: Final = (
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and application_name like 'trioworker %%' and xact_start is not null"
)

CODES: Final = {
    ConnectionLost: ["08000", "08006", "25P03", "25P04", "57P01", "57P02", "57P05"],
    ServerUnavailable: ["25006", "57P03", "57000"],
    Contention: ["40001", "40P01"],
    StatementTimeout: ["55P03", "57014"],
    Refused: ["21000", "22000", "22003", "22021", "22P05", "23502", "23505", "23514", "54000"],
    Exhausted: ["28000", "28P01", "3D000", "42501", "53000", "53100", "53200", "53300", "58030"],
    SchemaMismatch: ["3F000", "42P01", "42703", "42883"],
    UnknownStoreError: ["0A000", "25001", "40002", "42601", "55000", "P0001", "XX000", "ZZ999"],
}

REFUSALS: Final[Mapping[str, tuple[type[StoreError], str]]] = {
    "select '\"\\u0000\"'::jsonb": (Refused, "22P05"),
    "select '{'::jsonb": (Refused, "22P02"),
    "select repeat('[', 100000)::jsonb": (Refused, "54001"),
    "select ('1' || repeat('0', 200000))::jsonb": (Refused, "22003"),
    "select 99999::smallint": (Refused, "22003"),
    "select repeat('x', 1024 * 1024 * 1024)": (Refused, "54000"),
    "select 1/0": (Refused, "22012"),
    "insert into trioworker.waiting (id, reason) values (null, '')": (Refused, "23502"),
    "update trioworker.migration set number = 1 where number > 1": (Refused, "23505"),
    "insert into trioworker.worker (id, name, host, pid, mode, tags, ranks, lease_s)"
    " values (gen_random_uuid(), '', '', 1, '', '{}', '{}', 0)": (Refused, "23514"),
    "set local statement_timeout = '20ms'; select pg_sleep(60)": (StatementTimeout, "57014"),
    "table trioworker.never": (SchemaMismatch, "42P01"),
    "select never from trioworker.job": (SchemaMismatch, "42703"),
    "select trioworker.never()": (SchemaMismatch, "42883"),
    "set local role pg_monitor; table trioworker.job": (Exhausted, "42501"),
    "selekt": (UnknownStoreError, "42601"),
}

LOCK: Final = "select from trioworker.worker where id = '{}' for update"
UNTIL_SOMEBODY_WAITS_FOR_ME: Final = """
do $$ begin
    while not exists (
        select from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))
    ) loop
        perform pg_sleep(0.01);
    end loop;
end $$
"""


async def raised(scene: Scene, body: Body) -> StoreError:
    """The error of a transaction on the lane of commits."""
    with pytest.raises(StoreError) as caught:
        await scene.database.transact(COMMIT, body)
    return caught.value


def script(text: str) -> Body:
    """A transaction that runs `text`."""
    return lambda tx: tx.script(text)


def connections(scene: Scene) -> list[int]:
    """The server's processes for the lane of commits."""
    rows = scene.query(
        "select pid from pg_stat_activity"
        " where datname = current_database() and application_name = 'trioworker commit'"
    )
    return [pid for (pid,) in rows]


@on_every_version
async def test_each_code_has_its_class(scene: Scene) -> None:
    """Whatever code the server answers with, the error is of the class agreed and keeps it."""
    found: dict[type[StoreError], list[str]] = {kind: [] for kind in CODES}
    for code in sorted(code for codes in CODES.values() for code in codes):
        error = await raised(
            scene, script(f"do $$ begin raise 'so be it' using errcode = '{code}'; end $$")
        )
        assert (error.sqlstate, str(error)) == (code, "so be it")
        assert error.ambiguous is isinstance(error, ConnectionLost)
        found[type(error)].append(code)
    assert found == {kind: sorted(codes) for kind, codes in CODES.items()}


@on_every_version
async def test_what_the_server_says_no_to(scene: Scene) -> None:
    """Each real refusal has its class and code; nothing is in doubt, and the line serves on."""
    await scene.database.transact(COMMIT, script("select 1"))
    before = connections(scene)
    for text, (kind, code) in REFUSALS.items():
        error = await raised(scene, script(text))
        assert (text, type(error), error.sqlstate) == (text, kind, code)
        assert not error.ambiguous
        assert "\n" not in str(error)
    await scene.database.transact(COMMIT, script("select 1"))
    assert connections(scene) == before


async def test_a_server_that_takes_no_writes_is_left(scene: Scene) -> None:
    """Its answer is an error, and the next connection may find the primary."""
    await scene.database.transact(COMMIT, script("select 1"))
    before = connections(scene)
    error = await raised(scene, script("set transaction read only; delete from trioworker.claim"))
    assert (type(error), error.sqlstate, error.ambiguous) == (ServerUnavailable, "25006", False)
    await scene.database.transact(COMMIT, script("select 1"))
    assert set(connections(scene)).isdisjoint(before)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("notify_ready", [["\ud800"]]),
        ("notify_ready", [["a\0b"]]),
        ("mark_lost", [2**63]),
        ("retire_worker", ["no id"]),
        ("ended_jobs", [[1]]),
    ],
)
async def test_what_the_driver_cannot_send_is_refused(
    scene: Scene, name: str, arguments: list[object]
) -> None:
    """A value that fits no type of the server's costs itself only, like one that it refuses."""
    error = await raised(scene, lambda tx: tx.run(name, *arguments))
    assert (type(error), error.ambiguous) == (Refused, False)


async def test_what_is_never_sent_leaves_no_transaction_open(scene: Scene) -> None:
    """The driver has had the statement parsed by then, and the server waits for the rest of it."""
    with pytest.raises(Refused):
        await scene.database.run(COMMIT, "record_migration", 2**31, "never")
    await until(lambda: scene.query(IN_TRANSACTION) == [(0,)])


async def test_a_lock_that_does_not_come(scene: Scene) -> None:
    """Who gave up waiting for a lock has changed nothing and may try again."""
    await scene.worker()
    with psycopg.connect(scene.url) as other:
        other.execute("select from trioworker.worker for update")
        error = await raised(
            scene,
            script("set local lock_timeout = '20ms'; select from trioworker.worker for update"),
        )
    assert (type(error), error.sqlstate, error.ambiguous) == (StatementTimeout, "55P03", False)


async def test_a_deadlock(scene: Scene) -> None:
    """The victim of a deadlock is told that trying again may help."""
    mine, yours = LOCK.format(await scene.worker()), LOCK.format(await scene.worker())
    mine_is_taken = trio.Event()

    async def body(tx: Transaction) -> None:
        # Whoever looks for a deadlock while it is there becomes its victim.
        await tx.script(f"set local deadlock_timeout = '10ms'; {mine}")
        mine_is_taken.set()
        await tx.script(f"{UNTIL_SOMEBODY_WAITS_FOR_ME}; {yours}")

    with psycopg.connect(scene.url) as other:
        other.execute(f"set deadlock_timeout = '10min'; {yours}".encode())

        async def want_mine() -> None:
            await mine_is_taken.wait()
            await trio.to_thread.run_sync(other.execute, mine.encode())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(want_mine)
            error = await raised(scene, body)
    assert (type(error), error.sqlstate, error.ambiguous) == (Contention, "40P01", False)


async def test_a_serialization_failure(scene: Scene) -> None:
    """A transaction that another one has overtaken is told that trying again may help."""
    await scene.worker()

    async def body(tx: Transaction) -> None:
        await tx.script(
            "set transaction isolation level repeatable read; select from trioworker.worker"
        )
        scene.do("update trioworker.worker set pid = 2")
        await tx.script("update trioworker.worker set pid = 3")

    error = await raised(scene, body)
    assert (type(error), error.sqlstate, error.ambiguous) == (Contention, "40001", False)
    assert scene.query("select pid from trioworker.worker") == [(2,)]


async def test_an_error_of_the_bodys_own_comes_out_as_it_is(scene: Scene) -> None:
    """It rolls the transaction back and is nobody's to translate."""

    class OwnError(Exception):
        pass

    async def body(tx: Transaction) -> None:
        await tx.script("create table trioworker.half_done ()")
        raise OwnError

    with pytest.raises(OwnError):
        await scene.database.transact(COMMIT, body)
    assert scene.query("select from pg_tables where tablename = 'half_done'") == []


def drivers_errors() -> list[Exception]:
    """One of each error that the driver can raise, now or in its next release."""
    kinds = {
        kind
        for kind in vars(asyncpg.exceptions).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
    }
    return [kind("so be it") for kind in sorted(kinds, key=lambda kind: kind.__name__)]


@pytest.mark.parametrize("connecting", [False, True])
def test_no_error_of_the_drivers_leaves(connecting: bool) -> None:  # noqa: FBT001 - a parameter
    """Every class of errors that the driver has becomes one of ours, with the code if any."""
    foreign = drivers_errors()
    assert len(foreign) > 200
    for error in foreign:
        ours = translate(error, connecting=connecting)
        assert isinstance(ours, TrioworkerError), type(error)
        assert vars(errors)[type(ours).__name__] is type(ours)
        if isinstance(error, asyncpg.PostgresError) and isinstance(ours, StoreError):
            assert ours.sqlstate == error.sqlstate


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError("x"), RuntimeError("x")])
def test_an_error_that_is_nobodys_is_left_alone(error: Exception) -> None:
    """A bug stays what it is, or nobody would find it."""
    assert translate(error, connecting=False) is error
