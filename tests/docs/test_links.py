"""Every page leads somewhere, and its tables are tables."""

import re
from typing import Final

import pytest

from tests.docs.pages import PAGES, ROOT, Page, page

OUTSIDE: Final = re.compile(r"[a-z]+:")
SOURCE: Final = re.compile(r"([a-z_]+/)+[a-z_]+\.(py|sql|md|toml)")
ROOTS: Final = (ROOT, ROOT / "src", ROOT / "src" / "trioworker")


@pytest.mark.parametrize("of", PAGES, ids=str)
def test_every_link_leads_somewhere(of: Page) -> None:
    """A link inside the repository names a file that exists, and a heading that is in it."""
    for link in of.links:
        if OUTSIDE.match(link):
            continue
        name, _, anchor = link.partition("#")
        target = Page((of.path.parent / name).resolve()) if name else of
        assert target.path.exists(), f"{of}: {link}: there is no such file"
        assert target.path.is_relative_to(ROOT), f"{of}: {link}: leads out of the repository"
        if anchor:
            assert anchor in target.anchors, f"{of}: {link}: there is no such heading"


@pytest.mark.parametrize("of", PAGES, ids=str)
def test_every_table_is_well_formed(of: Page) -> None:
    """Each row has its closing bar and as many cells as the head."""
    for table in of.tables:
        assert all(table.head), of
        assert all(row[0] for row in table.rows), of


def test_the_readme_lists_every_page() -> None:
    """Whoever starts at the README finds all there is to read."""
    listed = {(ROOT / link.partition("#")[0]).resolve() for link in page("README.md").links}
    pages = {of.path for of in PAGES if of.path.parent == ROOT / "docs"}

    assert pages <= listed


def test_the_glossary_has_one_row_for_each_word() -> None:
    """One word per concept, and one meaning per word."""
    (table,) = page("docs/glossary.md").tables
    words = [word for word, _ in table.rows]

    assert table.head == ["word", "meaning"]
    assert len(words) == len({*words})
    assert all(meaning for _, meaning in table.rows)


@pytest.mark.parametrize("of", PAGES, ids=str)
def test_a_file_that_a_page_names_exists(of: Page) -> None:
    """A path in a span of code is one from the root, or from our package."""
    for span in of.spans:
        if SOURCE.fullmatch(span):
            found = [root for root in ROOTS if (root / span).exists()]
            assert found, f"{of}: there is no {span}"
