"""A flow that people take part in: an order is charged, signed if it is dear, packed and sent.

Nothing waits while somebody makes up their mind: neither a worker nor a connection.
"""

from typing import TypedDict

from trioworker import App
from trioworker.flows import approval, branch_one, case, expr, flow, for_each, step, value

DEAR = 500

app = App()


class Item(TypedDict):
    """A line of an order."""

    name: str
    count: int
    price: float


@app.job
async def total(items: list[Item]) -> float:
    """What the order costs."""
    return sum(item["count"] * item["price"] for item in items)


@app.job(retry=3)
async def charge(customer: str, amount: float) -> str:
    """Take the money; a real one asks a service, which may have to be asked again."""
    return f"{customer} paid {amount:.2f}"


@app.job
async def pack(item: Item) -> str:
    """Put an item into its box."""
    return f"{item['count']} x {item['name']}"


@app.job
async def send(customer: str, parcels: list[str]) -> str:
    """Hand the parcels over."""
    return f"{', '.join(parcels)} to {customer}"


@app.job
async def apologise(customer: str, reason: str) -> str:
    """What the customer hears when the flow has failed."""
    return f"sorry, {customer}: {reason}"


fulfil = flow(
    "orders/fulfil",
    [
        step("cost", total, {"items": expr("input.items")}),
        branch_one(
            "sign",
            [
                case(
                    f"results.cost >= `{DEAR}`",
                    [
                        approval(
                            "signature",
                            approvers=["ann", "bob"],
                            form={"note": "string"},
                            message=expr("join(' ', ['an order of', input.customer])"),
                            timeout_s=None,
                        )
                    ],
                )
            ],
            default=[value("no_signature", "not needed")],
        ),
        step("paid", charge, {"customer": expr("input.customer"), "amount": expr("results.cost")}),
        for_each(
            "packed", expr("input.items"), [step("box", pack, [expr("iter.value")])], parallel=2
        ),
        step("sent", send, {"customer": expr("input.customer"), "parcels": expr("results.packed")}),
    ],
    inputs={"customer": "string", "items": "array"},
    failure=step(
        "sorry", apologise, {"customer": expr("input.customer"), "reason": expr("error.message")}
    ),
)
