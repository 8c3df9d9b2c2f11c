"""All there is to know about one job, put together and told line by line."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from trioworker.cli.output import json_text, on_one_line, shortened, shown_time
from trioworker.cli.told import in_words
from trioworker.client import Client, JobAttempt, JobState
from trioworker.model.state import JobProgress, JobStep, PlaceInLine

OUTCOME_CELLS_MAX: Final = 100
CHILDREN_MAX: Final = 100


class Story(NamedTuple):
    """A job, its earlier attempts, its place in line, its children and its steps.

    And what its script has made of its arguments, if it has.
    """

    job: JobState
    attempts: Sequence[JobAttempt]
    in_line: PlaceInLine | None
    children: Sequence[JobState]
    steps: Sequence[JobStep]
    preprocessed: Any = None

    def as_dict(self) -> dict[str, Any]:
        """As one document."""
        return msgspec.structs.asdict(self.job) | {
            "in_line": self.in_line,
            "attempts": self.attempts,
            "children": self.children,
            "steps": self.steps,
            "preprocessed": self.preprocessed,
        }


async def told_of(client: Client, job: UUID) -> Story:
    """What there is to tell. Raises `UnknownJob`."""
    found = await client.job(job)
    line = await client.place_in_line(job) if found.state == "waiting" else None
    children = await client.children(job, CHILDREN_MAX + 1)
    made = await client.scripts.preprocessed(job)
    attempts, steps = await client.attempts(job), await client.steps(job)
    return Story(found, attempts, line, children, steps, made)


def facts(story: Story) -> Iterator[tuple[str, object]]:
    """What is known, by name; a traceback comes last, because it is long."""
    job = story.job
    in_line = {} if story.in_line is None else msgspec.structs.asdict(story.in_line)
    for name, value in (msgspec.structs.asdict(job) | in_line).items():
        if isinstance(value, datetime):
            yield name, shown_time(value)
        elif name == "labels":
            yield from (("label", on_one_line(label)) for label in value)
        elif isinstance(value, JobProgress):
            yield name, f"{in_words(value)}, {shown_time(value.told_at)}"
        elif name == "args" or (name == "result" and job.state == "success"):
            yield name, json_text(value)
            if name == "args" and story.preprocessed is not None:
                yield "preprocessed", json_text(story.preprocessed)
        elif value is not None and name not in {"result", "error"}:
            yield name, on_one_line(value)
    yield from map(_earlier, story.attempts)
    yield from map(_step, story.steps)
    yield from _children(story.children)
    if job.error is not None:
        yield "error", f"{job.error.name}: {job.error.message}"
        if job.error.traceback:
            yield "traceback", f"\n{job.error.traceback}"


def _earlier(one: JobAttempt) -> tuple[str, str]:
    """An attempt that another followed, on a line."""
    began = "" if one.started_at is None else f", {shown_time(one.started_at)}"
    took = "" if one.duration_ms is None else f", {one.duration_ms} ms"
    error = " ".join(f"{one.error.name}: {one.error.message}".split())
    return f"attempt {one.attempt}", f"{shortened(error, OUTCOME_CELLS_MAX)}{began}{took}"


def _step(step: JobStep) -> tuple[str, str]:
    result = shortened(json_text(step.result), OUTCOME_CELLS_MAX)
    return "step", f"{on_one_line(step.name)}, {shown_time(step.at)}: {result}"


def _children(children: Sequence[JobState]) -> Iterator[tuple[str, str]]:
    """How many stand where, then each of them."""
    if not children:
        return
    shown, more = children[:CHILDREN_MAX], len(children) > CHILDREN_MAX
    states = Counter(child.state for child in shown)
    many = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    yield "children", f"{many}; and more of them" if more else many
    for child in shown:
        told = "" if child.progress is None or child.ended else f", {in_words(child.progress)}"
        took = "" if child.duration_ms is None else f", {child.duration_ms} ms"
        yield "child", f"{child.id} {on_one_line(child.path)}: {child.state}{told}{took}"
