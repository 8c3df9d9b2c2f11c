"""An app whose functions tell how far they have come; another process imports it too."""

from pathlib import Path

from trioworker.app import App, Call, JobContext

app = App()


def tell(context: JobContext, told: list[list[object]]) -> int:
    """Tell all of that."""
    for fraction, *note in told:
        context.progress(fraction, *note)  # type: ignore[arg-type]  # some of it will not do
    return len(told)


async def async_tell(context: JobContext, told: list[list[object]]) -> int:
    """The same, for those who wait."""
    return tell(context, told)


def tell_and_stay(context: JobContext, steps: int, go: str) -> int:
    """Tell many steps at once, then work on in silence until the file `go` is there."""
    for step in range(steps):
        context.progress(step / steps, f"step {step}")
    context.progress(0.5, "silent")
    while not Path(go).exists():
        sum(range(1_000))
    context.progress(1)
    return steps


def tell_each(calls: list[Call[dict[str, str]]]) -> list[int]:
    """Each job of a chunk tells another fraction, and has a label; together they may fail."""
    for number, call in enumerate(calls, 1):
        call.progress(number / 10, call.args["name"])
        call.label(call.args["name"])
        call.log(call.args["name"])
    if any(call.args["name"] == "fail" for call in calls):
        raise ValueError("as asked")
    return [0] * len(calls)


async def async_tell_each(calls: list[Call[dict[str, str]]]) -> list[int]:
    """The same, for those who wait."""
    return tell_each(calls)


app.job(name="async")(async_tell)
app.job(name="asyncio", flavour="asyncio")(async_tell)
app.job(name="thread")(tell)
app.job(name="process", flavour="process")(tell)
app.job(name="stay", flavour="process")(tell_and_stay)
app.job(name="async chunk", chunk=2, linger_s=60)(async_tell_each)
app.job(name="thread chunk", chunk=2, linger_s=60)(tell_each)
app.job(name="process chunk", flavour="process", chunk=2, linger_s=60)(tell_each)
