"""`trioworker flows approve` and its like: what people decide, and what waits for them."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec
import typer

from trioworker.cli.asking import ask, id_of
from trioworker.cli.options import takes_settings
from trioworker.cli.output import on_one_line, print_json, print_table, shown_time
from trioworker.client import Client
from trioworker.errors import UsageError
from trioworker.model.flow_shown import ApprovalState, Decided
from trioworker.settings import Settings

Approval: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", help="Of the run that waits, or of the approval itself.")
]
By: TypeAlias = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")]
AtStep: TypeAlias = Annotated[
    str | None,
    typer.Option("--step", metavar="STEP", help="Which step, when several of the run wait."),
]
Form: TypeAlias = Annotated[
    str, typer.Option("--form", metavar="JSON", help="An object: what is filled in, by name.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@takes_settings()
def approve(
    settings: Settings,
    approval: Approval,
    *,
    by: By,
    step: AtStep = None,
    form: Form = "{}",
    as_json: AsJson = False,
) -> None:
    """Let a run go on that waits for approval."""
    _tell(_decided(settings, approval, by, step, form, yes=True), "approved", by, as_json=as_json)


@takes_settings()
def disapprove(
    settings: Settings,
    approval: Approval,
    *,
    by: By,
    step: AtStep = None,
    form: Form = "{}",
    as_json: AsJson = False,
) -> None:
    """Say no, which ends the approval at once."""
    said = _decided(settings, approval, by, step, form, yes=False)
    _tell(said, "disapproved", by, as_json=as_json)


@takes_settings()
def approvals(
    settings: Settings,
    *,
    limit: Annotated[int, typer.Option(metavar="NUMBER", help="At most so many.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """What waits for people to decide, oldest first."""
    found = ask(settings, lambda client: client.approvals(limit))
    if as_json:
        print_json(found)
        return
    columns = ("id", "flow", "step", "since", "until", "approvers", "message")
    print_table(columns, _rows(found))


def _decided(
    settings: Settings, approval: str, by: str, step: str | None, form: str, *, yes: bool
) -> Decided:
    id_, filled_in = id_of(approval), _form(form)

    async def decide(client: Client) -> Decided:
        said = client.approve if yes else client.disapprove
        return await said(id_, by=by, step=step, form=filled_in)

    return ask(settings, decide)


def _form(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UsageError(
            f"--form={text} is no JSON object: {error}; write it as '{{\"amount\": 3}}'"
        ) from None


def _tell(decided: Decided, what: str, by: str, *, as_json: bool) -> None:
    if as_json:
        print_json(decided)
        return
    rest = "" if decided.over else "; others have to approve, too"
    typer.echo(f"{on_one_line(decided.at)} is {what} by {on_one_line(by)}{rest}")


def _rows(found: Sequence[ApprovalState]) -> Iterator[tuple[UUID | str, ...]]:
    for one in found:
        yield (
            one.id,
            one.path,
            one.at,
            shown_time(one.since),
            shown_time(one.until) or "whenever",
            ", ".join(one.approvers) or "anyone",
            one.message,
        )
