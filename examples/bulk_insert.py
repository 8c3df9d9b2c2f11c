"""One statement for many jobs: a chunk function that inserts its calls in bulk, with psycopg.

A job may be run twice, when its worker is lost at the wrong moment. The job's id as the key of its
row makes that harmless.
"""

import os
import sys
from dataclasses import dataclass

import psycopg
import trio

from trioworker import App, Call, NewJob, TrioworkerError, new_id, open_client

ABSOLUTE_ZERO = -273.15

app = App()


@dataclass
class Reading:
    """The arguments of one job."""

    sensor: str
    celsius: float


@app.job(chunk=100, linger_s=0.1)
def store(calls: list[Call[Reading]]) -> list[str | Exception]:
    """Insert up to 100 readings in one statement; a reading that cannot be costs its job only."""
    good = [call for call in calls if call.args.celsius >= ABSOLUTE_ZERO]
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute(
            "insert into reading (job, sensor, celsius)"
            " select * from unnest(%s::uuid[], %s::text[], %s::float8[])"
            " on conflict (job) do nothing",
            [
                [call.id for call in good],
                [call.args.sensor for call in good],
                [call.args.celsius for call in good],
            ],
        )
    return ["stored" if call in good else ValueError("colder than cold") for call in calls]


# ---- readings to store, and a look at what is there -------------------------------------------


async def enqueue(url: str) -> None:
    """A thousand readings, one of which cannot be."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "create table if not exists reading"
            " (job uuid primary key, sensor text not null, celsius float8 not null)"
        )
    async with open_client(url, app=app) as client:
        jobs = await client.enqueue_many(
            NewJob(
                id=new_id(),
                kind="function",
                path="store",
                args=b'{"sensor": "roof", "celsius": %d}' % (-300 if number == 0 else number),
            )
            for number in range(1000)
        )
    print(f"{len(jobs)} readings to be stored")


def show(url: str) -> None:
    """Rows that one transaction stored have the same xmin."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*), count(distinct xmin::text) from reading")
        rows, transactions = row.fetchone() or (0, 0)
    print(f"{rows} readings are stored")
    print(f"in {transactions} transactions")


if __name__ == "__main__":
    address = os.environ.get("DATABASE_URL") or sys.exit("set DATABASE_URL to your PostgreSQL's")
    try:
        if sys.argv[1:] == ["show"]:
            show(address)
        else:
            trio.run(enqueue, address)
    except (TrioworkerError, psycopg.Error) as wrong:
        sys.exit(f"{wrong}\nis it there, and did you run `trioworker migrate`?")
