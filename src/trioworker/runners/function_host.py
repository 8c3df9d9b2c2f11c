"""Host of CPU-bound functions: the same lines as hosts/host.py, but each names its function.

Runs in a process of its own that has the worker's Python and `sys.path`. A function is found by
module and qualified name; beside {"id", "args"} a line has {"call": {"module", "function"},
"context": {"id", "attempt", "tag"}}, and {"retry_if": {"module", "function"}} if it has one. The
line of a chunk has {"contexts": […]} instead, and in "args" the JSON text of each of its jobs.
"""

import importlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from trioworker.app import Call, JobContext, JobFunction
from trioworker.errors import UsageError
from trioworker.model.arguments import Signature
from trioworker.model.chunk_arguments import ChunkSignature
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    JobError,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
    handing_over,
)
from trioworker.model.progress import Progress
from trioworker.model.user_statement import written
from trioworker.runners.capture import LOG_FORMAT
from trioworker.runners.chunk_call import ChunkCall
from trioworker.runners.hosts.host import Host, Message
from trioworker.runners.labels import Labels
from trioworker.runners.raised import outcome_of, returned
from trioworker.runners.teller import Teller

BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]);"
    " from trioworker.runners.function_host import main; main()"
)


def main() -> None:
    """Serve the file descriptors in `sys.argv[1:3]`."""
    host = Host(int(sys.argv[1]), int(sys.argv[2]))
    del sys.argv[1:]
    host.serve(partial(run, Teller(host.send)))


def run(teller: Teller, message: Message) -> str:
    """Run one job; the body of its reply."""
    if not logging.root.handlers:
        logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stdout)
    with teller.telling_of(message["id"]):
        return (run_chunk if "contexts" in message else run_one)(teller, message)


def run_one(teller: Teller, message: Message) -> str:
    """Run a job of its own; the body of its reply."""
    labels = Labels()
    try:
        signature = found(**message["call"])
        known = context(message["context"], print, labels, partial(teller.tell, job=message["id"]))
        call = signature.bind(json.dumps(message["args"]), known)
    except UsageError as error:
        return body(Failed(JobError(type(error).__name__, str(error)), for_good=True))
    outcome = settled(call, message.get("retry_if"))
    return body(handing_over(outcome, known.statements), labels)


def run_chunk(teller: Teller, message: Message) -> str:
    """Run the jobs of a chunk; the body of the one reply to all."""
    function, signature = found_chunk(**message["call"])
    logs = [io.StringIO() for _ in message["contexts"]]
    labels = [Labels() for _ in message["contexts"]]
    calls: list[object] = []
    try:
        jobs = zip(message["args"], message["contexts"], logs, labels, strict=True)
        for member, (args, fields, log, its_labels) in enumerate(jobs):
            record = signature.record(args)
            tell = partial(teller.tell, job=message["id"], member=member)
            known = context(fields, partial(print, file=log), its_labels, tell)
            calls.append(Call.of(known, record) if signature.wants_context else record)
    except UsageError as error:
        return body(Failed(JobError(type(error).__name__, str(error)), for_good=True))
    retry_if = message.get("retry_if")
    shared = ChunkCall(function, calls, None if retry_if is None else imported(**retry_if))
    outcome = settled(shared.call, retry_if)
    said = [
        f'"labels":{_json(tuple(its))},"log":{_json(log.getvalue())}'
        for its, log in zip(labels, logs, strict=True)
    ]
    if not shared.outcomes:
        return f'{body(outcome)},"members":{_objects(said)}'
    ends = zip(shared.outcomes, said, strict=True)
    return f'"result":{_objects(f"{body(one)},{its}" for one, its in ends)}'


def settled(call: Callable[[], object], retry_if: Message | None) -> Outcome:
    """What becomes of the call; exit() and the like end the job, not the process."""
    try:
        value = call()
    except BaseException as error:  # noqa: BLE001 - said above
        return outcome_of(error, None if retry_if is None else imported(**retry_if))
    return returned(value)


@cache
def found(module: str, function: str) -> Signature:
    """How the function is called, once its module is imported."""
    name, plain = named(module, function)
    return Signature(name, plain, context_type=JobContext)


@cache
def found_chunk(module: str, function: str) -> tuple[Callable[..., Any], ChunkSignature]:
    """A function that takes a list of calls, and what they are made of."""
    name, plain = named(module, function)
    return plain, ChunkSignature(name, plain, call_type=Call)


def named(module: str, function: str) -> tuple[str, Callable[..., Any]]:
    """The function, under the name that messages use."""
    target = imported(module, function)
    return (target.name, target.function) if isinstance(target, JobFunction) else (function, target)


def imported(module: str, function: str) -> Any:  # noqa: ANN401 - whatever it is
    """What a module calls by that qualified name."""
    return reduce(getattr, function.split("."), importlib.import_module(module))


def context(
    fields: Message, log: Callable[[str], None], labels: Labels, tell: Callable[[Progress], None]
) -> JobContext:
    """What the function may know about its job."""
    id_, attempt, tag = UUID(fields["id"]), fields["attempt"], fields["tag"]
    shared = None if fields["shared"] is None else Path(fields["shared"])
    return JobContext(id_, attempt, tag, log, labels.add, tell=tell, shared=shared)


def body(outcome: Outcome, labels: Iterable[str] = ()) -> str:
    """The outcome and the labels in the words of the protocol."""
    given = tuple(labels)
    return f'{ended(outcome)},"labels":{_json(given)}' if given else ended(outcome)


def ended(outcome: Outcome) -> str:
    """The outcome alone."""
    match outcome:
        case Succeeded(result=result, statements=()):
            return f'"result":{result.decode()}'
        case Succeeded(result=result, statements=statements):
            return f'"result":{result.decode()},"statements":{written(statements)}'
        case Failed(error=error, kinds=kinds, for_good=for_good):
            return f'"error":{_json(error)},"kinds":{_json(kinds)},"for_good":{_json(for_good)}'
        case Retried(error=error, delay_s=delay_s):
            return f'"error":{_json(error)},"retry_s":{delay_s}'
        case Snoozed(delay_s=delay_s):
            return f'"snooze_s":{delay_s}'
        case Cancelled(reason=reason):
            return f'"cancel":{_json(reason)}'
        case _:
            raise AssertionError(f"a function cannot end as {outcome}")


def _objects(bodies: Iterable[str]) -> str:
    return f"[{','.join(f'{{{one}}}' for one in bodies)}]"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
