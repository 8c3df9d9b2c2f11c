"""The part of the agents API that hands out deployed scripts.

Rule of this file: an agent sees the scripts of the jobs that its worker holds, and no others.
"""

from trioworker.server.claims import Claims
from trioworker.store import wire_scripts
from trioworker.store.scripts import ScriptStore


class AgentScriptsApi:
    """Answers to what agents ask about scripts; who asks was looked at before."""

    def __init__(self, scripts: ScriptStore, claims: Claims) -> None:
        self._scripts = scripts
        self._claims = claims

    async def newest(self, _: object, asked: wire_scripts.Newest) -> wire_scripts.Heads:
        """The newest versions of scripts, without their texts."""
        held = await self._claims.held_scripts(asked.worker, asked.paths)
        heads = await self._scripts.newest_scripts([p for p in asked.paths if p in held])
        return wire_scripts.Heads([*heads.values()])

    async def whole(self, _: object, asked: wire_scripts.WhichScript) -> wire_scripts.Whole:
        """A version with its text."""
        if not await self._claims.held_scripts(asked.worker, [asked.path]):
            return wire_scripts.Whole()
        found = await self._scripts.script(asked.path, asked.version)
        return wire_scripts.Whole() if found is None else wire_scripts.Whole(*found)
