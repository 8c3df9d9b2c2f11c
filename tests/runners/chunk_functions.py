"""An app of chunk functions; another process imports it too."""
# ruff: noqa: T201 - what jobs print is what they are there for

import os
import threading
from dataclasses import dataclass
from typing import Any

import trio

from trioworker.app import App, Call
from trioworker.errors import Cancel, Retry, Snooze

LINGER_S = 60.0
"""So long that a test which needs it to pass does not end."""

app = App()


@dataclass
class Item:
    """The arguments of most jobs here."""

    number: int
    how: str = "result"


def ended(item: Item) -> object:
    """A result or an exception, whichever is asked for."""
    return {
        "result": item.number * item.number,
        "object": object(),
        "error": ValueError(f"no {item.number}"),
        "exit": SystemExit(item.number),
        "snooze": Snooze(3),
        "retry": Retry("busy", delay_s=4),
        "cancel": Cancel("enough"),
    }[item.how]


def square(calls: list[Item]) -> list[object]:
    """What all flavours do: print once, and end each job as it asks for."""
    print("chunk of", len(calls))
    return [ended(item) for item in calls]


async def async_square(calls: list[Item]) -> list[object]:
    """The same, for those who wait."""
    return square(calls)


def whole(calls: list[Item]) -> Any:  # noqa: ANN401 - the point
    """End the whole chunk in the way that its first call asks for."""
    how = calls[0].how
    if how == "few":
        return [1]
    if how == "none":
        return None
    end = ended(calls[0])
    assert isinstance(end, BaseException)
    raise end


async def async_whole(calls: list[Item]) -> object:
    """The same, for those who wait."""
    return whole(calls)


def tell(calls: list[Call[Item]]) -> list[str]:
    """Write to the log of each job and to that of all, and say who they are."""
    print("for all")
    for call in calls:
        call.log(f"for {call.args.number}")
    return [f"{call.args.number} {call.attempt} {call.tag} {call.id.int > 0}" for call in calls]


async def async_tell(calls: list[Call[Item]]) -> list[str]:
    """The same, for those who wait."""
    return tell(calls)


def retries_some(error: BaseException) -> bool:
    """Some errors are worth another attempt."""
    return str(error) != "no 1"


for flavour in ("async", "asyncio", "thread", "process"):
    is_async = flavour.startswith("async")
    for name, plain, waiting in (
        ("square", square, async_square),
        ("whole", whole, async_whole),
        ("tell", tell, async_tell),
    ):
        app.job(
            name=f"{flavour} {name}",
            flavour=flavour,
            chunk=3,
            linger_s=LINGER_S,
            retry=2,
            retry_if=retries_some,
        )(waiting if is_async else plain)


class Gate:
    """Lets a test and a chunk, in whichever thread, wait for one another."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = trio.Event()
        self.calls: list[list[int]] = []
        self.ended_as = ""


gate = Gate()


@app.job(chunk=3, linger_s=0)
async def waits(calls: list[Item]) -> list[int]:
    """Wait until the test says so."""
    gate.calls.append([item.number for item in calls])
    gate.entered.set()
    try:
        await gate.open.wait()
    except trio.Cancelled:
        gate.ended_as = "cancelled"
        raise
    return [item.number for item in calls]


@app.job(chunk=2, linger_s=LINGER_S)
async def lingers(calls: list[Item]) -> list[int]:
    """Begin only once it is full."""
    gate.calls.append([item.number for item in calls])
    return [item.number for item in calls]


@app.job(chunk=2, linger_s=0.01)
async def hurries(calls: list[Item]) -> list[int]:
    """Begin soon, whoever comes."""
    return [item.number for item in calls]


@app.job(chunk=3, linger_s=LINGER_S, timeout_s=0.05)
async def times_out(calls: list[Item]) -> list[int]:
    """Take longer than its jobs may."""
    return [len(calls) for _ in range(await _never())]


@app.job(flavour="process", chunk=2, linger_s=LINGER_S)
def dies(calls: list[Item]) -> None:
    """Take the process down."""
    print("about to leave")
    os._exit(len(calls))


@app.job(flavour="process", chunk=2, linger_s=LINGER_S)
def process_id(calls: list[Item]) -> list[int]:
    """Say where it ran."""
    return [os.getpid() for _ in calls]


async def _never() -> int:
    await trio.sleep_forever()
