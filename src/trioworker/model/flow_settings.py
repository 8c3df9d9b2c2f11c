"""What may be said about the steps of a flow that is written in Python, and what it comes to.

Rule of this file: pure. It makes the values that a definition has of what is convenient to write.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

from trioworker.errors import UsageError
from trioworker.model.flow_expression import Expr
from trioworker.model.flow_steps import StopAfter, StopStatus
from trioworker.model.options import Limit, RetryPolicy

Args: TypeAlias = Mapping[str, Any] | Sequence[Any]
Condition: TypeAlias = str | Expr


class StepSettings(TypedDict, total=False):
    """What may be said about any step; all of it may be left out.

    `skip_if` is a condition: the step is not run when it holds, and its result is null.
    `stop_after_if` is one, too, or a `stop_after(…)`: it ends the innermost serial loop or the
    flow. With `continue_on_error` a failure is the result `{"error": {…}}`.
    """

    description: str
    skip_if: Condition
    stop_after_if: Condition | StopAfter
    continue_on_error: bool


class JobStepSettings(StepSettings, total=False):
    """What may be said about a step that is a job, as in `JobSettings`."""

    tag: str
    priority: int
    labels: Sequence[str]
    delete_after_s: float


class CallSettings(JobStepSettings, total=False):
    """What may be said about a step that calls something, as in `JobSettings`."""

    retry: RetryPolicy | int
    timeout_s: float
    limit: Limit | int
    cache_ttl_s: float


def stop_after(
    condition: Condition, *, status: StopStatus = "success", message: str = ""
) -> StopAfter:
    """What `stop_after_if` says, where the flow shall end otherwise than as a success."""
    return StopAfter(condition=text_of(condition), status=status, message=message)


def said_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the definition has them."""
    said = {name: value for name, value in settings.items() if value is not None}
    if "skip_if" in said:
        said["skip_if"] = text_of(said["skip_if"])
    stop = said.get("stop_after_if")
    if stop is not None and not isinstance(stop, StopAfter):
        said["stop_after_if"] = stop_after(stop)
    if "labels" in said:
        said["labels"] = tuple(list_of(said["labels"]))
    return said


def text_of(condition: Condition) -> str:
    """A condition as it is written."""
    return condition.expr if isinstance(condition, Expr) else condition


def list_of(values: Sequence[Any]) -> list[Any]:
    """A list. Raises `UsageError` for a text, which would be read letter by letter."""
    if isinstance(values, str):
        raise UsageError(f"a list is meant, not {values!r}; say [{values!r}], or expr(…)")
    return [*values]


def args_of(step: str, args: Args | None) -> dict[str, Any] | list[Any]:
    """Arguments as the definition has them. Raises `UsageError`."""
    if isinstance(args, Mapping):
        return {name: value_of(step, value) for name, value in args.items()}
    if isinstance(args, str):
        raise UsageError(f"step {step!r}: arguments are a dict or a list, not {args!r}")
    return [value_of(step, value) for value in args] if args else {}


def value_of(step: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    """A constant or an expression. Raises `UsageError` for an expression inside of a constant."""
    if not isinstance(value, Expr) and _holds_expression(value):
        raise UsageError(
            f"step {step!r}: an expression stands for a whole argument, not inside of one;"
            " make it one expression, as expr('{id: input.id}')"
        )
    return value


def _holds_expression(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_expression, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_expression, value))
    return isinstance(value, Expr)
