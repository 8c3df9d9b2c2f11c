"""The functions that the steps of the corpus call, as an app that a real worker may run, too."""

from typing import Any

from trioworker.app import App, JobContext
from trioworker.errors import Cancel

app = App()


class Refused(Exception):
    """What `fail` raises."""


@app.job
async def echo(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what was given."""
    return value


@app.job
async def add(a: float, b: float) -> float:
    """Return the sum."""
    return a + b


@app.job
async def fail(message: str) -> None:
    """Fail."""
    raise Refused(message)


@app.job
async def fail_times(context: JobContext, n: int, value: Any = None) -> Any:  # noqa: ANN401 - JSON
    """Fail in the first `n` attempts, then return the value."""
    if context.attempt <= n:
        raise Refused(f"attempt {context.attempt}")
    return value


@app.job
async def fail_if(bad: bool, value: Any = None) -> Any:  # noqa: ANN401, FBT001 - JSON
    """Fail if asked to, or else return the value."""
    if bad:
        raise Refused(f"bad: {value}")
    return value


@app.job
async def items(n: int) -> list[int]:
    """Return the numbers below `n`."""
    return list(range(n))


@app.job
async def give_up(reason: str) -> None:
    """End as canceled."""
    raise Cancel(reason)
