"""What can become of a transaction, as cases for both databases: each returns its whole account.

Rule of this file: a case works on a `Line` and nothing else, and waits for events, not for time.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import pytest
import trio

from sim.differential.account import BEAT, J1, NUL, RED, W1, W2, account, one_job, told, workers
from sim.differential.lines import LANE, WIDE, WIDTH, Line, until
from trioworker.store.postgres.database import Transaction
from trioworker.store.postgres.store import DONE_CHANNEL, READY_CHANNEL

Case: TypeAlias = Callable[[Line], Awaitable[object]]
CASES: dict[str, Case] = {}


def case(run: Case) -> Case:
    """Adds a case to the table."""
    CASES[run.__name__] = run
    return run


# ---- the server or the driver says no ---------------------------------------------------------


@case
async def the_server_refuses_a_statement(line: Line) -> object:
    """A value that jsonb cannot hold."""
    return await account(line, lambda: line.database.run(LANE, "enqueue", *one_job(NUL)))


@case
async def the_server_refuses_it_in_a_transaction(line: Line) -> object:
    """The same, after something that was right."""

    async def body(tx: Transaction) -> None:
        await tx.run(*BEAT)
        await tx.run("enqueue", *one_job(NUL))

    return await account(line, lambda: line.database.transact(LANE, body)), await workers(line)


@case
async def the_driver_refuses_an_argument(line: Line) -> object:
    """A number that its parameter cannot hold is not sent."""
    return await account(
        line, lambda: line.database.run(LANE, "enqueue", *one_job(priority=40_000))
    )


@case
async def a_check_is_violated(line: Line) -> object:
    """A number that its column does not take."""
    return await account(line, lambda: line.database.run(LANE, "enqueue", *one_job(priority=2_000)))


@case
async def a_body_goes_on_after_a_refusal(line: Line) -> object:
    """Then nothing more is taken."""

    async def body(tx: Transaction) -> None:
        with suppress(Exception):  # the driver's own, on the real side
            await tx.run("enqueue", *one_job(NUL))
        await tx.run(*BEAT)

    return await account(line, lambda: line.database.transact(LANE, body))


@case
async def a_body_keeps_a_refusal_to_itself(line: Line) -> object:
    """Then its transaction seems to be committed, and nothing of it is."""

    async def body(tx: Transaction) -> str:
        await tx.run(*BEAT)
        with suppress(Exception):  # the driver's own, on the real side
            await tx.run("enqueue", *one_job(NUL))
        return "no error"

    return await account(line, lambda: line.database.transact(LANE, body)), await workers(line)


@case
async def a_body_raises(line: Line) -> object:
    """An error that is not the database's: nothing is stored."""

    async def body(tx: Transaction) -> None:
        await tx.run(*BEAT)
        raise LookupError

    async def action() -> object:
        with pytest.raises(LookupError):
            await line.database.transact(LANE, body)
        return "raised"

    return await account(line, action), await workers(line)


@case
async def the_server_refuses_a_commit(line: Line) -> object:
    """Then all of the transaction is gone, and the connection is as good as before."""

    async def body(tx: Transaction) -> None:
        await tx.run("register_worker", W2, "w", "h", 1, "worker", [RED], [0], 60.0)
        await tx.run(*BEAT)

    async def action() -> object:
        line.refuse_commits()
        return await line.database.transact(LANE, body)

    return await account(line, action), await workers(line)


@case
async def the_server_takes_no_writes(line: Line) -> object:
    """As after a failover: the next connection may find another server."""
    line.refuse_writes()
    writing = await told(line.database.run(LANE, "enqueue", *one_job()))
    await until(lambda: not line.backends())
    reading = await told(line.database.run(LANE, "list_workers", 9))
    return writing, reading, len(line.backends())


# ---- the line is lost -------------------------------------------------------------------------


@case
async def killed_while_idle(line: Line) -> object:
    """The client sends its statement down a line that is dead."""

    async def action() -> object:
        line.kill()
        return await line.database.run(LANE, *BEAT)

    return await account(line, action)


@case
async def killed_while_idle_and_noticed(line: Line) -> object:
    """The client knows, and opens another."""

    async def action() -> object:
        line.kill()
        await line.noticed()
        return len(await line.database.run(LANE, *BEAT))

    return await account(line, action)


@case
async def killed_before_a_transaction(line: Line) -> object:
    """BEGIN finds the line dead."""

    async def body(tx: Transaction) -> None:
        await tx.run(*BEAT)

    async def action() -> object:
        line.kill()
        return await line.database.transact(LANE, body)

    return await account(line, action)


async def _killed_while_it_waits(line: Line, action: Callable[[], Awaitable[object]]) -> object:
    async def waiting_and_killed() -> object:
        found: list[object] = []

        async def note() -> None:
            found.append(await told(action()))

        with line.held(W1):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(note)
                await until(lambda: line.waiting() == 1)
                line.kill()
        return found[0]

    return await account(line, waiting_and_killed)


@case
async def killed_in_a_statement(line: Line) -> object:
    """It waited for a lock."""
    return await _killed_while_it_waits(line, lambda: line.database.run(LANE, *BEAT))


@case
async def killed_in_a_statement_of_a_transaction(line: Line) -> object:
    """The same in a transaction."""

    async def body(tx: Transaction) -> None:
        await tx.run("clock")
        await tx.run(*BEAT)

    return await _killed_while_it_waits(line, lambda: line.database.transact(LANE, body))


@case
async def killed_between_two_statements(line: Line) -> object:
    """The second one finds the line dead."""

    async def body(tx: Transaction) -> None:
        await tx.run(*BEAT)
        line.kill()
        await tx.run(*BEAT)

    return await account(line, lambda: line.database.transact(LANE, body)), await workers(line)


@case
async def killed_before_commit(line: Line) -> object:
    """COMMIT finds the line dead: nobody knows, and nothing is stored."""

    async def body(tx: Transaction) -> None:
        await tx.run(*BEAT)
        line.kill()

    return await account(line, lambda: line.database.transact(LANE, body)), await workers(line)


@case
async def a_killed_body_keeps_it_to_itself(line: Line) -> object:
    """COMMIT fails all the same."""

    async def body(tx: Transaction) -> None:
        line.kill()
        with suppress(Exception):
            await tx.run(*BEAT)

    return await account(line, lambda: line.database.transact(LANE, body))


@case
async def the_reply_of_a_statement_is_lost(line: Line) -> object:
    """It was carried out, and nobody can know."""

    async def action() -> object:
        # Once before, because the driver would have it prepared first and lose the reply to that.
        await line.database.run(LANE, "heartbeat", W1, 0, 0, 0)
        line.lose_next_reply()
        return await line.database.run(LANE, *BEAT)

    return await account(line, action), await workers(line)


@case
async def the_reply_of_a_commit_is_lost(line: Line) -> object:
    """All of it is stored, and nobody can know."""

    async def body(tx: Transaction) -> None:
        await tx.run("register_worker", W2, "w", "h", 1, "worker", [RED], [0], 60.0)
        await tx.run(*BEAT)
        line.lose_next_reply()

    return await account(line, lambda: line.database.transact(LANE, body)), await workers(line)


@case
async def nothing_listens_there(line: Line) -> object:
    """A connection that cannot be made leaves no doubt."""
    return await told(line.ask_nobody())


# ---- it takes too long ------------------------------------------------------------------------


@case
async def a_statement_takes_too_long(line: Line) -> object:
    """It may have been carried out, and its connection is not asked what became of it."""

    async def action() -> object:
        with line.held(W1):
            return await told(line.database.run(LANE, *BEAT))

    return await account(line, action)


@case
async def a_transaction_takes_too_long(line: Line) -> object:
    """The same in a transaction, which is gone with its connection."""

    async def body(tx: Transaction) -> None:
        await tx.run("register_worker", W2, "w", "h", 1, "worker", [RED], [0], 60.0)
        await tx.run(*BEAT)

    async def action() -> object:
        with line.held(W1):
            return await told(line.database.transact(LANE, body))

    return await account(line, action), await workers(line)


@case
async def cancelled_while_it_waits(line: Line) -> object:
    """The connection is thrown away."""

    async def body(tx: Transaction) -> None:
        await tx.run("register_worker", W2, "w", "h", 1, "worker", [RED], [0], 60.0)
        await tx.run(*BEAT)

    async def action() -> object:
        with line.held(W1):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(line.database.transact, LANE, body)
                await until(lambda: line.waiting() == 1)
                tasks.cancel_scope.cancel()
        return "cancelled"

    return await account(line, action), await workers(line)


# ---- what goes well ---------------------------------------------------------------------------


@case
async def a_lane_is_as_wide_as_it_says(line: Line) -> object:
    """A third one waits until one of two connections is free."""
    worker = (W1, "w", "h", 1, "worker", [RED], [0], 60.0)
    await line.database.run(WIDE, "register_worker", *worker)
    running = []

    async def body(tx: Transaction) -> None:
        running.append("begun")
        await tx.run(*BEAT)

    async with trio.open_nursery() as tasks:
        with line.held(W1):
            for _ in range(WIDTH + 1):
                tasks.start_soon(line.database.transact, WIDE, body)
            await until(lambda: line.waiting() == WIDTH)
            at_once = (len(running), len(line.backends()))
    return at_once, len(running), len(line.backends())


@case
async def statements_answer_with_rows_or_without(line: Line) -> object:
    """Rows for those that have some by their header, none for the others."""

    async def body(tx: Transaction) -> object:
        new = await tx.run("enqueue", *one_job(), jobs=1)
        told = await tx.run("notify_done", [J1])
        return [tuple(row) for row in new], told

    return await line.database.transact(LANE, body), await workers(line)


@case
async def a_listener_hears_until_the_line_is_lost(line: Line) -> object:
    """The beginning, each notification once, and then the error."""
    heard: list[tuple[str, str]] = []
    found: list[object] = []

    async def listen() -> None:
        channels = (DONE_CHANNEL, READY_CHANNEL)
        found.append(await told(line.database.listen(channels, lambda *n: heard.append(n))))

    async with trio.open_nursery() as tasks:
        tasks.start_soon(listen)
        await until(lambda: bool(heard))
        await line.database.run(LANE, "notify_done", [J1, J1])
        await line.database.run(LANE, "notify_ready", [RED])
        await until(lambda: (READY_CHANNEL, RED) in heard)
        line.kill()
    return heard, found
