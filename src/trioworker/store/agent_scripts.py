"""Deployed scripts as an agent gets them: from its server, as far as its jobs are concerned."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from trioworker.model.script import ScriptHead, StoredScript
from trioworker.store import wire_scripts

Ask = Callable[..., Awaitable[Any]]
"""Sends a request to a path and reads the answer as a type."""


class AgentScripts:
    """A `ScriptStore` over the requests of an agent. `worker` is set once it is registered."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.worker: UUID | None = None

    async def newest_scripts(self, paths: Sequence[str]) -> Mapping[str, ScriptHead]:
        """See `ScriptStore.newest_scripts`."""
        assert self.worker is not None
        asked = wire_scripts.Newest(self.worker, paths)
        heads: wire_scripts.Heads = await self._ask("scripts", asked, wire_scripts.Heads)
        return {head.path: head for head in heads.scripts}

    async def script(self, path: str, version: int) -> StoredScript | None:
        """See `ScriptStore.script`."""
        assert self.worker is not None
        asked = wire_scripts.WhichScript(self.worker, path, version)
        found: wire_scripts.Whole = await self._ask("script", asked, wire_scripts.Whole)
        return None if found.head is None else StoredScript(found.head, found.content)
