"""An app with a chunk function, for the tests of the command line."""

from trioworker import App

app = App()


@app.job(chunk=50)
async def total(calls: list[dict[str, int]]) -> list[int]:
    """Answers many at once."""
    return [sum(call.values()) for call in calls]
