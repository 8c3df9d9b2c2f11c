"""A job that exists if, and only if, the order it is about exists: one transaction, psycopg.

Any other driver, in any language, does as well: enqueueing is a function of the database.
"""

import os
import sys

import psycopg
from psycopg.types.json import Jsonb

from trioworker import App

app = App()


@app.job
async def confirm(order: int, item: str) -> str:
    """Would send an e-mail."""
    return f"order {order}, {item}, is confirmed"


def place_order(connection: psycopg.Connection, item: str) -> None:
    """Store the order, and the job that confirms it. Raises when there is no such item."""
    with connection.transaction():
        order = connection.execute(
            "insert into orders (item) values (%s) returning id", [item]
        ).fetchone()
        assert order is not None
        connection.execute(
            "select trioworker.enqueue('confirm', %s)", [Jsonb({"order": order[0], "item": item})]
        )
        if item == "nothing":
            raise LookupError("nothing is not for sale")


def main(url: str) -> None:
    """Place three orders, one of which cannot be."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "create table if not exists orders"
            " (id integer generated always as identity, item text not null)"
        )
        for item in ("a lamp", "nothing", "a chair"):
            try:
                place_order(connection, item)
            except LookupError as error:
                print(f"rolled back: {error}")
            else:
                print(f"ordered: {item}")


if __name__ == "__main__":
    address = os.environ.get("DATABASE_URL") or sys.exit("set DATABASE_URL to your PostgreSQL's")
    try:
        main(address)
    except psycopg.Error as wrong:
        sys.exit(f"{wrong}\nis it there, and did you run `trioworker migrate`?")
