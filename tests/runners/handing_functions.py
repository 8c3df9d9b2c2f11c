"""An app whose functions hand over statements; another process imports it too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from trioworker.app import App, Call, JobContext

app = App()

SQL = "insert into t values ($1, $2, $3, $4, $5)"
VALUES = (1, Decimal("2.50"), datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7), [b"\x00", None])


def hand_over(context: JobContext, how: str) -> str:
    """Hand over two statements, and end as asked."""
    context.commit_with(SQL, *VALUES)
    if how == "commit":
        context.commit_with("commit")
    context.commit_with("select $1", {"how": how})
    if how == "fail":
        raise ValueError(how)
    return how


async def async_hand_over(context: JobContext, how: str) -> str:
    """The same."""
    return hand_over(context, how)


@dataclass
class Item:
    """The arguments of one job of a chunk."""

    how: str


def hand_over_each(calls: list[Call[Item]]) -> Sequence[object]:
    """Each its own, by the way it ends."""
    return [_ended(call) for call in calls]


async def async_hand_over_each(calls: list[Call[Item]]) -> Sequence[object]:
    """The same."""
    return hand_over_each(calls)


def _ended(call: Call[Item]) -> object:
    call.commit_with("select $1", call.args.how)
    return ValueError() if call.args.how == "fail" else call.args.how


app.job(name="thread")(hand_over)
app.job(name="process", flavour="process")(hand_over)
app.job(name="async")(async_hand_over)
app.job(name="asyncio", flavour="asyncio")(async_hand_over)
app.job(name="thread chunk", chunk=3)(hand_over_each)
app.job(name="process chunk", chunk=3, flavour="process")(hand_over_each)
app.job(name="async chunk", chunk=3)(async_hand_over_each)
app.job(name="asyncio chunk", chunk=3, flavour="asyncio")(async_hand_over_each)
