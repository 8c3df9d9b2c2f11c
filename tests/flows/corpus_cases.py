"""The corpus: flows, how people decide about their approvals, and what they come to.

Whoever runs one enqueues `flow` with the input `args`, has the flows of `flows` besides, and lets
people decide as `decisions` says, by the place of each approval; where it says nothing nobody does,
and time runs out. `expect` has the state that the flow ends in, its `result` or its `error`, and
the places of all steps that were made jobs. PATH stands for the path that the flow is run under.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

CORPUS: Final = Path(__file__).parent / "corpus"


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An error, as far as it is expected."""

    name: str
    message: str


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a flow comes to; `made` are places, in any order."""

    state: str
    made: Sequence[str]
    result: Any = None
    error: Told | None = None


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One flow of the corpus; `what` says in a sentence what it shows."""

    what: str
    flow: dict[str, Any]
    args: dict[str, Any]
    expect: Expected
    flows: Mapping[str, dict[str, Any]] = {}
    decisions: Mapping[str, list[dict[str, Any]]] = {}


def cases() -> Mapping[str, Case]:
    """All of them, by the names of their files."""
    files = sorted(CORPUS.glob("*.json"))
    return {file.stem: msgspec.json.decode(file.read_bytes(), type=Case) for file in files}


def result_under(path: str, result: Any) -> Any:  # noqa: ANN401 - JSON
    """An expected result of a flow that is run under this path."""
    return msgspec.json.decode(
        msgspec.json.encode(result).replace(b'"PATH"', msgspec.json.encode(path))
    )
