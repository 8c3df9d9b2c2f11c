"""docs/http-api.md is followed on a real server, and has every operation and every metric."""

import re
from pathlib import Path
from typing import Any, Final, cast

from tests.cli.test_server import ANYWHERE, process
from tests.docs.following import follow, save
from tests.docs.pages import page
from trioworker.server.api import api_operations
from trioworker.server.metrics import Metrics

PAGE: Final = page("docs/http-api.md")


def test_what_the_page_shows_works(tmp_path: Path, database_url: str) -> None:
    """Every request is answered as the page says."""
    save(PAGE, tmp_path)
    with process("run", "shop:app", *ANYWHERE, url=database_url, cwd=tmp_path) as worker:
        server = worker.said("server listening")["address"]
        follow(PAGE, tmp_path, {"SERVER": server})


def test_every_operation_is_on_the_page() -> None:
    """Method and address of each stand there, and of no other."""
    operations = api_operations(cast("Any", None), Metrics(), cast("Any", None))
    shown = {span for span in PAGE.spans if re.fullmatch(r"(GET|POST) /\S+", span)}

    described = {f"{operation.method} {operation.path}" for operation in operations}
    assert shown == described | {"GET /openapi.json"}


def test_every_metric_is_on_the_page() -> None:
    """Each name is explained, and no name is made up."""
    text = Metrics().text([]).decode()
    names = set(
        re.findall(r"^# TYPE (trioworker_\w+) (?:counter|gauge|histogram)$", text, re.MULTILINE)
    )

    assert {name for name in names if not name.endswith("_created")} == {
        span for span in PAGE.spans if span.startswith("trioworker_")
    }
