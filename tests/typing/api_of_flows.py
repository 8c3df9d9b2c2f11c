"""Flows in Python as a user's type checker sees them; the rule of `api.py` holds here, too."""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from typing import assert_type

from trioworker import App, Client, Limit, RetryPolicy
from trioworker.flows import (
    FormField,
    NamedFlow,
    approval,
    branch,
    branch_all,
    branch_one,
    case,
    expr,
    flow,
    for_each,
    noop,
    script,
    sleep,
    step,
    stop_after,
    subflow,
    value,
    while_,
)

app = App()


@app.job
async def charge(order: str) -> float:
    """A function of the app."""
    return float(len(order))


inner = flow("inner", [noop("nothing")], inputs={"order": "string"})
outer = flow(
    "outer",
    [
        step("charge", charge, {"order": expr("input.order")}, retry=3, limit=Limit(2)),
        step("other", "by.name", ["x", 1, None], retry=RetryPolicy(attempts=2), labels=["a"]),
        script("mail", "mail.sh", language="bash", timeout_s=60),
        subflow("inner", inner, {"order": expr("input.order")}, priority=5),
        sleep("pause", 2.5, tag="any"),
        approval("sign", approvers=["ann"], form={"amount": "number", "why": FormField()}),
        for_each("each", expr("input.list"), [value("v", expr("iter.value"))], parallel=True),
        while_("round", "iter.index < `3`", [noop("again")], max=5),
        branch_one("one", [case("input.a", [noop("a")])], default=[noop("b")]),
        branch_all("all", [[noop("c")], branch([noop("d")], skip_failure=True)]),
        value("end", 1, stop_after_if=stop_after("result == `1`", status="skipped")),
    ],
    failure=step("tell", charge, [expr("error.message")]),
)
assert_type(outer, NamedFlow)
assert_type(outer.path, str)
flow("one", [noop("a")], same_worker=True, on_worker_lost="restart")

step("a", charge, retries=3)  # type: ignore[call-arg]  # there is no such setting
step("a", 3)  # type: ignore[arg-type]  # a function of the app, or its name
approval("a", form={"n": "date"})  # type: ignore[dict-item]  # there is no such type
flow("a", [noop("b")], on_worker_lost="wait")  # type: ignore[arg-type]  # fail, or restart


async def pushed(client: Client) -> None:
    """It may stand alone, or under another path."""
    await client.push_flow(outer)
    await client.push_flow("elsewhere", outer)
