"""A first app: one job."""

from trioworker import App

app = App()


@app.job
async def greet(name: str) -> str:
    """What it returns is stored as its result, what it prints as its log."""
    return f"Hello, {name}!"
