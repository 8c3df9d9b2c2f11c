"""What a page shows is true: its files are saved and its commands are run, in order."""

from pathlib import Path

import pytest

from tests.docs.following import follow, is_followed
from tests.docs.pages import PAGES, ROOT, Page

ELSEWHERE = {ROOT / "docs" / name for name in ("tutorial.md", "http-api.md")}
"""Pages that have tests of their own."""
FOLLOWED = [page for page in PAGES if is_followed(page) and page.path not in ELSEWHERE]


@pytest.mark.parametrize("page", FOLLOWED, ids=str)
def test_a_page_that_shows_files_works(page: Page, tmp_path: Path, database_url: str) -> None:
    """Every command ends as the page says, with the output that it shows."""
    follow(page, tmp_path, {"DATABASE_URL": database_url})
