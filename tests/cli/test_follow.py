"""`trioworker jobs logs --follow`: what a job writes, as it comes, and how it ended."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import COMMAND, PATIENCE_S, ROOT, Run, Worker, environment


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_lines_are_printed_while_the_job_runs(
    here: Run, database_url: str, tmp_path: Path, flags: list[str]
) -> None:
    """The first one comes before the job has ended, and it ends well when the job does."""
    file = tmp_path / "file"
    id_ = here("enqueue", "until_there", json.dumps({"file": str(file)})).well().output.strip()
    following = subprocess.Popen(
        [*COMMAND, "jobs", "logs", "-f", id_, *flags],
        env=environment(database_url, {}),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with following, Worker("--log-flush-s", "0.05", url=database_url):
        assert following.stdout is not None
        line = following.stdout.readline()
        file.touch()
        rest, _ = following.communicate(timeout=PATIENCE_S)
    as_json = '{"attempt":1,"text":"waiting for file\\n"}\n'
    assert (line, rest) == (as_json if flags else "waiting for file\n", "")
    assert following.returncode == 0


def test_a_job_that_failed_is_followed_to_a_failure(here: Run) -> None:
    """With the reason, after what it wrote."""
    id_ = here("enqueue", "greet", '{"name": 3}').well().output.strip()
    here("run", "tests.cli.shop:app", "--drain").well()
    ended = here("jobs", "logs", "-f", id_)
    assert ended.status == 1
    assert f"job {id_} ended as failure: InvalidArguments" in ended.complaints


def test_an_unknown_job_cannot_be_followed(here: Run) -> None:
    """One line says so."""
    nobody = "00000000-0000-7000-8000-000000000000"
    ended = here("jobs", "logs", "-f", nobody)
    assert (ended.status, ended.complaints) == (2, f"trioworker: there is no job {nobody}\n")
