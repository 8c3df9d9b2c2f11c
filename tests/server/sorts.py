"""An app with a job of each sort, and scripts; processes of their own import it and run them."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Final

import trio

from trioworker import App, Call, EndedJob, JobContext
from trioworker.model.options import RetryPolicy

APP: Final = "tests.server.sorts:app"
CHUNK: Final = 3

app = App()


@dataclass
class Pair:
    """Two numbers."""

    a: int
    b: int


@app.job
async def greet(name: str) -> str:
    """On Trio, with a line of log."""
    print("about to greet", name)  # noqa: T201 - it becomes the job's log
    return f"Hello, {name}!"


@app.job(flavour="asyncio")
async def greet_too(name: str) -> str:
    """On asyncio."""
    return f"Hello, {name}!"


@app.job
def add(a: int, b: int) -> int:
    """In a thread."""
    return a + b


@app.job(flavour="process")
def count_primes(below: int) -> int:
    """In a process of its own, for it takes the processor."""
    return sum(all(n % d for d in range(2, n)) for n in range(2, below))


@app.job(chunk=CHUNK, linger_s=60)
def add_each(calls: list[Call[Pair]]) -> list[int | Exception]:
    """Several in one call, which does not begin before all are there."""
    return [
        call.args.a + call.args.b if call.args.b else ZeroDivisionError("b is 0") for call in calls
    ]


@app.job
async def climb(context: JobContext, file: str) -> str:
    """Tells how far it is and writes, until somebody makes `file`.

    What it tells last no flush is in time for: that is stored with its end.
    """
    steps = 0
    while not Path(file).exists():  # noqa: ASYNC240 - another process makes it
        steps += 1
        context.log(f"step {steps}")
        context.progress(0.5, f"after {steps} steps")
        await trio.sleep(0.02)
    context.progress(1, "up")
    return "up"


@app.job
async def mark(context: JobContext, label: str) -> None:
    """Labels itself."""
    context.label(label)


@app.job(retry=RetryPolicy(attempts=2, delay_s=0))
def fail_at_first(context: JobContext) -> int:
    """Succeeds with the second attempt."""
    if context.attempt == 1:
        raise ValueError("not yet")
    return context.attempt


@app.job
async def praise(ended: EndedJob) -> str:
    """Is told of successes."""
    return ended.path


SCRIPTS: Final = {
    "double.py": """
        import os

        def main(number):
            print("doubling", number)
            return {"twice": 2 * number, "by": os.getpid()}
        """,
    "shout.sh": """
        read -r arguments
        echo "shouting $arguments" >&2
        echo '"HELLO"' > "$TRIOWORKER_RESULT"
        """,
}


def write_scripts(folder: Path) -> Path:
    """The scripts, in this folder."""
    for name, text in SCRIPTS.items():
        (folder / name).write_text(dedent(text), encoding="utf-8")
    return folder
