"""Flows of the simulated world whose steps share a worker; see `flowing.py`."""

from collections.abc import Mapping
from typing import Any, Final

SHARED: Final = "shared"
"""It fails with its worker."""
SHARED_AGAIN: Final = "shared again"
"""It begins anew when its worker is lost."""


def _call(name: str, path: str = "ok", **more: object) -> dict[str, Any]:
    return {"id": name, "type": "function", "path": path, **more}


def _nested(name: str, path: str) -> dict[str, Any]:
    return {"id": name, "type": "flow", "path": path}


SHARING: Final[Mapping[str, Mapping[str, Any]]] = {
    SHARED: {
        "steps": [_call("a"), _call("b", "slow"), {"id": "c", "type": "noop"}, _call("d")],
        "same_worker": True,
    },
    SHARED_AGAIN: {
        "steps": [_call("a", "slow"), _nested("b", "parallel"), _call("c", "log")],
        "same_worker": True, "on_worker_lost": "restart",
    },
    "shared inside": {
        "steps": [_nested("a", SHARED), _nested("b", SHARED_AGAIN), _call("c")],
    },
    "shared, put off": {
        "steps": [
            _call("a", "fail twice", retry={"attempts": 4, "delay_s": 0.1}),
            {"id": "nap", "type": "sleep", "seconds": 0.4},
            {"id": "ask", "type": "approval", "timeout_s": 1.0, "go_on": True},
            _call("b", limit={"slots": 1, "key": "in line"}),
        ],
        "failure": _call("mend", "recover"),
        "same_worker": True, "on_worker_lost": "restart",
    },
}  # fmt: skip
"""All of them, by their paths."""
