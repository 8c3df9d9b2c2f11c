"""Flows as files: JSON, or an attribute of a Python module.

Rule of this file: all that are named are read and checked before anything is done with them; a
mistake is told with the file it is in.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trioworker.app import imported
from trioworker.errors import UsageError
from trioworker.flowing import read_flow
from trioworker.model.flow import DEFINITION_BYTES_MAX, Flow

STDIN: Final = "-"


def found_flows(targets: Sequence[str], path: str | None) -> dict[str, Flow]:
    """The flows that are named, by path; `path` is that of the only one. Raises `UsageError`."""
    if path is not None and len(targets) != 1:
        raise UsageError(f"--path is the path of one flow, not of {len(targets)}")
    if path is None and STDIN in targets:
        raise UsageError("a flow on stdin has no name; say --path")
    found: dict[str, Flow] = {}
    for target in targets:
        name, flow = _found(target)
        name = name if path is None else path
        if name in found:
            raise UsageError(f"two of these flows are called {name!r}; push one with --path")
        found[name] = flow
    return found


def _found(target: str) -> tuple[str, Flow]:
    """The name and the flow of one target."""
    if target == STDIN:
        return "", _read(target, sys.stdin.buffer.read(DEFINITION_BYTES_MAX + 1))
    file = Path(target)
    if not file.exists() and ":" in target:
        return _attribute(target)
    try:
        with file.open("rb") as opened:
            return file.stem, _read(target, opened.read(DEFINITION_BYTES_MAX + 1))
    except OSError as error:
        raise UsageError(f"cannot read '{target}': {error.strerror or error}") from None
    except ValueError:
        raise UsageError(f"{target!r} is no name of a file") from None


def _attribute(target: str) -> tuple[str, Flow]:
    module_name, _, attribute = target.partition(":")
    if not (module_name and attribute):
        raise UsageError(f"'{target}' names no flow; write module:attribute, as shop:order")
    module = imported(module_name)
    found = getattr(module, attribute, None)
    if not isinstance(found, Flow):
        has = [name for name, value in vars(module).items() if isinstance(value, Flow)]
        hint = f"; it has {', '.join(f'{module_name}:{name}' for name in has)}" if has else ""
        if not hasattr(module, attribute):
            raise UsageError(f"module '{module_name}' has no attribute '{attribute}'{hint}")
        kind = type(found).__name__
        raise UsageError(f"'{target}' is of type {kind}, not a trioworker Flow{hint}")
    own: str = getattr(found, "path", attribute)
    return own, found


def _read(target: str, content: bytes) -> Flow:
    try:
        return read_flow(content)
    except UsageError as error:
        raise UsageError(f"{'stdin' if target == STDIN else target}: {error}") from None
