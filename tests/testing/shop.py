"""An app as a user would test it: its jobs enqueue others through a client they were given."""

import asyncio
from dataclasses import dataclass
from typing import Any

import trio

from trioworker import App, Call, Cancel, Client, JobContext, Retry, RetryPolicy, Snooze

app = App()


class Shop:
    """Where the jobs find their client."""

    client: Client


@app.job
async def order(item: str, count: int = 1) -> str:
    """Enqueue what follows from an order."""
    await Shop.client.enqueue("send", {"to": "you@example.org", "text": f"{count} {item}"})
    await Shop.client.enqueue("ask_how_it_was", [item], delay_s=3600, tag="later", priority=-1)
    return f"{count} {item}"


@dataclass
class Mail:
    """The arguments of `send`."""

    to: str
    text: str = ""


@app.job(chunk=3, linger_s=60)
async def send(calls: list[Call[Mail]]) -> list[str]:
    """Send many at once."""
    for call in calls:
        call.log(f"to {call.args.to}")
    return [f"{len(calls)} at once" for _ in calls]


@app.job(flavour="asyncio")
async def ask_how_it_was(item: str) -> str:
    """On asyncio."""
    await asyncio.sleep(0)
    return f"how was {item}?"


@app.job
def in_a_thread(context: JobContext, item: str) -> str:
    """In a thread, with a client from Trio."""
    trio.from_thread.run(Shop.client.enqueue, "order", {"item": item})
    print("ordered", item)  # noqa: T201 - it becomes the job's log
    return f"attempt {context.attempt}"


@app.job(flavour="process")
def in_a_process(number: int) -> Any:  # noqa: ANN401 - JSON
    """Where a worker would use another process."""
    return [number * number, None]


@app.job(retry=RetryPolicy(3, delay_s=10, factor=2, jitter=0))
def fails(context: JobContext, times: int) -> str:
    """Fail so many times."""
    if context.attempt <= times:
        raise ValueError(f"no {context.attempt}")
    return "at last"


@app.job(timeout_s=0.01)
async def hangs() -> None:
    """Take too long."""
    await trio.sleep_forever()


@app.job
def ends(how: str) -> None:
    """End otherwise than by returning."""
    raise {
        "error": ValueError("no good"),
        "snooze": Snooze(60),
        "retry": Retry("busy", delay_s=30),
        "cancel": Cancel("enough"),
        "for ever": Snooze(0),
    }[how]
