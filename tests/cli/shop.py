"""An app for the tests of the command line; they run it in processes of its own."""

from pathlib import Path

import trio

from trioworker import App, JobContext

app = App()


@app.job
async def greet(name: str) -> str:
    """The job of a beginner."""
    print("about to greet", name)  # noqa: T201 - it becomes the job's log
    return f"Hello, {name}!"


@app.job(tag="sums", priority=7)
def divide(a: int, b: int) -> float:
    """Fails when `b` is 0."""
    return a / b


@app.job
async def until_there(file: str) -> str:
    """Runs until somebody makes `file`."""
    print("waiting for", Path(file).name)  # noqa: T201 - it becomes the job's log
    while not Path(file).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await trio.sleep(0.01)
    return "there"


@app.job
async def climb(context: JobContext, file: str) -> str:
    """Tells how far it is, and runs until somebody makes `file`."""
    print("looking out")  # noqa: T201 - it becomes the job's log
    context.progress(0.4, "[bold]four of ten")
    there = await until_there(file)
    context.progress(0.9, "down again")
    return there


@app.job
def hand_over() -> object:
    """Has a result that JSON has no words for."""
    return object()
