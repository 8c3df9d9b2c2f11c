"""The pages about the simulator are held to its code."""

import re
from pathlib import Path

from sim.plan import EXCHANGE_FAULTS, WORLD_FAULTS

DOCS = Path(__file__).parents[1] / "docs" / "simulator"


def test_the_catalogue_has_every_fault_and_no_other() -> None:
    """docs/simulator/faults.md has a row for each, in the order of the code."""
    page = (DOCS / "faults.md").read_text("utf-8")
    rows = re.findall(r"^\| ([a-z][a-z, ]+?) \|", page, re.MULTILINE)
    assert [row for row in rows if row != "fault"] == [*EXCHANGE_FAULTS, *WORLD_FAULTS]


def test_the_index_leads_to_every_page() -> None:
    """docs/simulator/README.md links each page beside it."""
    index = (DOCS / "README.md").read_text("utf-8")
    pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
