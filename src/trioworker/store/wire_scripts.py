"""What an agent and its server say to each other about deployed scripts; the rest is in `wire`."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from trioworker.model.batching import SIZE_MAX
from trioworker.model.bounds import PATH_BYTES_MAX
from trioworker.model.script import ScriptHead

Path = Annotated[str, Meta(max_length=PATH_BYTES_MAX)]


class Newest(msgspec.Struct, frozen=True):
    """See `ScriptStore.newest_scripts`."""

    worker: UUID
    paths: Annotated[Sequence[Path], Meta(max_length=SIZE_MAX)]


class Heads(msgspec.Struct, frozen=True):
    """The newest versions of those that are deployed, and that this agent may see."""

    scripts: Sequence[ScriptHead]


class WhichScript(msgspec.Struct, frozen=True):
    """See `ScriptStore.script`."""

    worker: UUID
    path: Path
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Whole(msgspec.Struct, frozen=True):
    """A version with its text; nothing when there is none, or it is not for this agent."""

    head: ScriptHead | None = None
    content: str = ""
