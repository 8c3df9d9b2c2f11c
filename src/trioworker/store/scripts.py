"""Where deployed scripts come from, as a worker sees it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from trioworker.model.script import ScriptHead, StoredScript


class ScriptStore(Protocol):
    """What a worker asks about deployed scripts. Raises `StoreError`."""

    async def newest_scripts(self, paths: Sequence[str]) -> Mapping[str, ScriptHead]:
        """The newest versions by their paths; what is not deployed is left out."""
        ...

    async def script(self, path: str, version: int) -> StoredScript | None:
        """A version with its text; None when there is none."""
        ...
