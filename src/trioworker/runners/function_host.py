"""Host of CPU-bound functions: the same lines as hosts/host.py, but each names its function.

Runs in a process of its own that has the worker's Python and `sys.path`. A function is found by
module and qualified name; beside {"id", "args"} a line has {"call": {"module", "function"},
"context": {"id", "attempt", "tag"}}, and {"retry_if": {"module", "function"}} if it has one.
"""

import importlib
import json
import logging
import sys
from collections.abc import Callable
from functools import cache, reduce
from typing import Any, Final
from uuid import UUID

import msgspec

from trioworker.app import JobContext, JobFunction
from trioworker.errors import UsageError
from trioworker.model.arguments import Signature
from trioworker.model.outcome import (
    Cancelled,
    Failed,
    JobError,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)
from trioworker.runners.capture import LOG_FORMAT
from trioworker.runners.hosts.host import Host, Message
from trioworker.runners.raised import outcome_of, returned

BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]);"
    " from trioworker.runners.function_host import main; main()"
)


def main() -> None:
    """Serve the file descriptors in `sys.argv[1:3]`."""
    host = Host(int(sys.argv[1]), int(sys.argv[2]))
    del sys.argv[1:]
    host.serve(run)


def run(message: Message) -> str:
    """Run one job; the body of its reply."""
    if not logging.root.handlers:
        logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stdout)
    try:
        signature = found(**message["call"])
        call = signature.bind(json.dumps(message["args"]), context(message["context"]))
    except UsageError as error:
        return body(Failed(JobError(type(error).__name__, str(error)), for_good=True))
    return body(settled(call, message.get("retry_if")))


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
    target = imported(module, function)
    if isinstance(target, JobFunction):
        return target.signature
    return Signature(function, target, context_type=JobContext)


def imported(module: str, function: str) -> Any:  # noqa: ANN401 - whatever it is
    """What a module calls by that qualified name."""
    return reduce(getattr, function.split("."), importlib.import_module(module))


def context(fields: Message) -> JobContext:
    """What the function may know about its job."""
    return JobContext(UUID(fields["id"]), fields["attempt"], fields["tag"], print)


def body(outcome: Outcome) -> str:
    """The outcome in the words of the protocol."""
    match outcome:
        case Succeeded(result=result):
            return f'"result":{result.decode()}'
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


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
