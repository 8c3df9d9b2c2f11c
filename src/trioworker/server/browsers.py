"""Who may ask when there is no key: this host, and no page in a browser on it.

Rule of this file: a name that leads here is not enough. A page of anybody's can make its own name
lead to 127.0.0.1, and would then be taken for one of ours.
"""

from typing import Final

from starlette.requests import Request

from trioworker.server.errors import Forbidden

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class LocalOnly:
    """`Keys` of a server without a key, which listens on this host alone."""

    def __init__(self, host: str) -> None:
        self._names = LOCAL_NAMES | {f"[{host}]" if ":" in host else host}

    def check(self, request: Request) -> None:
        """Raises `Forbidden` unless it was sent to a name of this host."""
        host = request.headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower() not in self._names:
            raise Forbidden(
                "without a key this server takes requests to 127.0.0.1 and localhost only"
            )
