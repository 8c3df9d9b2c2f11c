"""What the README shows of agents works: a server, a token and an agent, without any set-up."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.docs.following import run_block
from tests.docs.pages import page
from tests.server.programs import free_port
from trioworker.store.postgres import embedded

README = page("README.md")


@pytest.fixture
def data_home() -> Iterator[Path]:
    """Where users' data folders are, with a name short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tw-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
        trio.run(embedded.stop, Path(folder) / "trioworker")


def test_an_agent_works_as_the_readme_says(tmp_path: Path, data_home: Path) -> None:
    """Its job succeeds; but for the port, which somebody may have, it is word for word."""
    (app,) = [b.text for b in README.blocks if b.text.startswith("# hello.py\n")]
    (tmp_path / "hello.py").write_text(app, "utf-8")
    (text,) = [b.text for b in README.blocks if b.language == "sh" and "AGENT_TOKEN" in b.text]
    text = text.replace(":8600", f":{free_port()}")
    last = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    ended = run_block(last + text, tmp_path, {"XDG_DATA_HOME": str(data_home), "DATABASE_URL": ""})
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    assert "Traceback" not in said
    assert re.search(r"success\s+greet", ended.stdout), said
