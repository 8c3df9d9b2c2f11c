"""An app whose functions give their jobs labels; another process imports it too."""

from trioworker.app import App, Call, JobContext

app = App()


def label(context: JobContext, labels: list[str]) -> int:
    """Give the job those, and end badly if one of them asks for that."""
    for text in labels:
        context.label(text)
    if "fail" in labels:
        raise ValueError("as asked")
    return len(labels)


async def async_label(context: JobContext, labels: list[str]) -> int:
    """The same, for those who wait."""
    return label(context, labels)


def label_each(calls: list[Call[dict[str, list[str]]]]) -> list[int]:
    """The same for all of a chunk."""
    return [label(call, call.args["labels"]) for call in calls]


async def async_label_each(calls: list[Call[dict[str, list[str]]]]) -> list[int]:
    """The same, for those who wait."""
    return label_each(calls)


app.job(name="async")(async_label)
app.job(name="asyncio", flavour="asyncio")(async_label)
app.job(name="thread")(label)
app.job(name="process", flavour="process")(label)
app.job(name="async chunk", chunk=2, linger_s=60)(async_label_each)
app.job(name="thread chunk", chunk=2, linger_s=60)(label_each)
app.job(name="process chunk", flavour="process", chunk=2, linger_s=60)(label_each)
