"""The table of a job's life, and the picture that the docs draw from it."""

from pathlib import Path
from typing import get_args

from trioworker.model.outcome import Outcome
from trioworker.model.transitions import TRANSITIONS, Place, diagram


def test_the_picture_in_the_docs_is_drawn_from_the_table() -> None:
    """docs/pipeline.md shows the diagram of the table as it is."""
    page = (Path(__file__).parents[2] / "docs" / "pipeline.md").read_text("utf-8")
    assert f"```mermaid\n{diagram()}\n```" in page


def test_a_claimed_job_has_a_destination_for_every_outcome() -> None:
    """No outcome leaves one in limbo, and nothing leaves job_completed but what people retry."""
    for outcome in get_args(Outcome):
        assert (Place.CLAIMED, outcome) in TRANSITIONS
    assert [cause for origin, cause in TRANSITIONS if origin is Place.COMPLETED] == ["retry"]
    assert set(TRANSITIONS.values()) >= {Place.READY, Place.CLAIMED, Place.COMPLETED}
