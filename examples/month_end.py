"""Workflow as code: a function that waits for others without a slot, and goes on after a crash."""

import asyncio
import os
import sys

from trioworker import App, ChildFailed, JobContext, open_client

app = App()


@app.job(flavour="asyncio")
async def close(branch: str, month: str) -> int:
    """The books of one branch; what they come to."""
    await asyncio.sleep(0)  # where a real one would ask for them
    if branch == "atlantis":
        raise LookupError(f"no books of {branch} for {month}")
    return 100 * len(branch)


def number_of_report(month: str) -> str:
    """To be drawn once: a later attempt gets the same one."""
    return f"{month}/{os.urandom(2).hex()}"


@app.job(flavour="asyncio")
async def month_end(ctx: JobContext, month: str, branches: list[str]) -> dict[str, object]:
    """Close all branches side by side; one that fails costs the others nothing."""
    number = await ctx.step("number", number_of_report, month)
    children = await ctx.enqueue_each(close, [[branch, month] for branch in branches])
    sums = await ctx.gather(children, return_exceptions=True)
    closed = {b: s for b, s in zip(branches, sums, strict=True) if not isinstance(s, ChildFailed)}
    return {"number": number, "total": sum(closed.values()), "missing": len(branches) - len(closed)}


async def main(month: str) -> None:
    """Ask for a month, and print what comes of it."""
    async with open_client(os.environ["DATABASE_URL"], app=app) as client:
        branches = ["berlin", "atlantis", "oslo"]
        job = await client.enqueue("month_end", [month, branches], awaited=True)
        print(await client.result(job, timeout_s=60))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
