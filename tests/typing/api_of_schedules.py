"""Schedules as a user's type checker sees them; the rule of `api.py` holds here, too."""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import assert_type
from uuid import UUID

from trioworker import App, Client, ScheduleState, UnknownSchedule

app = App()


@app.schedule(cron="0 6 * * MON", timezone="Europe/Berlin", args={"days": 7}, overlap="queue_one")
@app.schedule(name="often", every_s=60, catch_up="all", retry=3)
@app.job
def summary(days: int = 1) -> str:
    """Stays the function it is."""
    return str(days)


assert_type(summary(2), str)
app.schedule(every_s=60, overlap="never")  # type: ignore[arg-type]  # there is no such policy
app.schedule(every_s="60")  # type: ignore[arg-type]  # a number of seconds


async def schedules(client: Client) -> None:
    """What a client says of them."""
    await client.schedules.add("s", "report", [1], at=datetime.now(UTC), tag="t", overlap="allow")
    assert_type(await client.schedules.list(), Sequence[ScheduleState])
    assert_type((await client.schedules.get("s")).next_tick, datetime | None)
    assert_type(await client.schedules.run("s"), UUID)
    try:
        await client.schedules.pause("s")
    except UnknownSchedule as error:
        assert_type(error, UnknownSchedule)
