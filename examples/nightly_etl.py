"""Extract, transform, load: a flow with retries, a check that ends it early, and a schedule.

The source fails now and then, as sources do: that costs a retry of one step, not the night.
"""

import os
import sys

import psycopg

from trioworker import App, JobContext, RetryPolicy
from trioworker.flows import expr, flow, step, stop_after

app = App()


@app.job(retry=RetryPolicy(attempts=5, delay_s=0.1))
async def extract(context: JobContext, day: str) -> list[dict[str, float]]:
    """Fetch the day's readings from a source that does not answer at first."""
    if context.attempt == 1:
        raise ConnectionError(f"the source of {day} does not answer")
    return [{"hour": hour, "celsius": 10 + hour / 2} for hour in range(24)]


@app.job
async def transform(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Kelvin, as everybody downstream wants it."""
    return [{"hour": row["hour"], "kelvin": row["celsius"] + 273.15} for row in rows]


@app.job
def load(context: JobContext, day: str, rows: list[dict[str, float]]) -> int:
    """Store them in the transaction that stores the end of this step: exactly once."""
    for row in rows:
        context.commit_with(
            "insert into warmth (day, hour, kelvin) values ($1::text::date, $2, $3)",
            day, row["hour"], row["kelvin"],
        )  # fmt: skip
    return len(rows)


etl = flow(
    "etl/nightly",
    [
        step(
            "rows",
            extract,
            {"day": expr("input.day")},
            stop_after_if=stop_after("result == `[]`", status="skipped", message="nothing to load"),
        ),
        step("kelvin", transform, {"rows": expr("results.rows")}),
        step("loaded", load, {"day": expr("input.day"), "rows": expr("results.kelvin")}),
    ],
    inputs={"day": "string"},
)

# ---- a table for the readings, and a look at what is there --------------------------------------


def prepare(connection: psycopg.Connection[tuple[int]]) -> None:
    """The table that they go to."""
    connection.execute(
        "create table if not exists warmth"
        " (day date, hour float8, kelvin float8, primary key (day, hour))"
    )
    print("there is a table for the readings")


def show(connection: psycopg.Connection[tuple[int]]) -> None:
    """How many readings there are."""
    (count,) = connection.execute("select count(*) from warmth").fetchone() or (0,)
    print(f"{count} readings are stored")


if __name__ == "__main__":
    address = os.environ.get("DATABASE_URL") or sys.exit("set DATABASE_URL to your PostgreSQL's")
    try:
        with psycopg.connect(address) as database:
            (show if sys.argv[1:] == ["show"] else prepare)(database)
    except psycopg.Error as wrong:
        sys.exit(str(wrong))
