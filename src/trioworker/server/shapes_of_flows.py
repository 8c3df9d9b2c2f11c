"""What is sent about flows and what is answered; the rule of `shapes.py` holds here, too."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from trioworker.model.bounds import PRIORITY_MAX, PRIORITY_MIN
from trioworker.model.flow_approval import NAME_BYTES_MAX
from trioworker.model.flow_shown import ApprovalState, FlowListed
from trioworker.model.options import DELAY_S_MAX
from trioworker.server.shapes import Limited, Moment, Path, Request, Text

VERSIONS_MAX: Final = 2**31 - 1
DEFINITION: Final = {"type": "object", "required": ["steps"]}
INPUT: Final = {"type": "object", "default": {}}

Name = Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX, pattern=r"^[^\x00]*$")]
Version = Annotated[int, Meta(ge=1, le=VERSIONS_MAX)]


class NewFlow(Request, frozen=True, kw_only=True):
    """A flow to be stored as the next version of `path`, and who says so.

    What a definition is made of says its own JSON Schema, which `trioworker flows schema` prints.
    """

    path: Path
    definition: Annotated[msgspec.Raw, Meta(extra_json_schema=DEFINITION)]
    by: Annotated[str, Meta(max_length=NAME_BYTES_MAX, pattern=r"^[^\x00]*$")] = "http"


class FlowQuery(Request, frozen=True, kw_only=True):
    """Which version; the newest unless said otherwise."""

    version: Version | UnsetType = UNSET


class RunQuery(Request, frozen=True, kw_only=True):
    """How many steps are shown, the newest of them."""

    limit: Limited = 1_000


class NewRun(Request, frozen=True, kw_only=True):
    """A run of a flow, with its input; the rest as in `NewJobRequest`."""

    args: Annotated[msgspec.Raw, Meta(extra_json_schema=INPUT)] = msgspec.field(
        default_factory=lambda: msgspec.Raw(b"{}")
    )
    id: UUID | None = None
    parent: UUID | None = None
    scheduled_for: Moment | None = None
    delay_s: Annotated[float, Meta(ge=0, le=DELAY_S_MAX)] | None = None
    awaited: bool = True
    tag: Text | UnsetType | None = UNSET
    priority: Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)] | UnsetType | None = UNSET


class DecisionRequest(Request, frozen=True, kw_only=True):
    """What somebody says of an approval: yes or no, and what they fill in.

    `step` is needed where a flow is named of which several steps wait: its name, or its place.
    """

    by: Name
    approve: bool
    form: Mapping[str, Any] = {}
    step: str | None = None


class Flows(msgspec.Struct, frozen=True, kw_only=True):
    """Flows, by path."""

    flows: Sequence[FlowListed]


class Approvals(msgspec.Struct, frozen=True, kw_only=True):
    """Approvals that wait for people, oldest first."""

    approvals: Sequence[ApprovalState]
