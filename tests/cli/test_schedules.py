"""`trioworker schedules`: what it shows is what is stored, and what it changes is changed."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.cli.commands import Run, run
from trioworker.cli.exits import ExitStatus

DECLARED = """
    from trioworker import App

    app = App()

    @app.schedule(cron="30 6 * * *", timezone="Europe/Berlin")
    @app.schedule(name="soon", every_s=1, catch_up="last")
    @app.job
    async def tick() -> str:
        return "tock"
"""


@pytest.fixture
def nightly(here: Run) -> Run:
    """Commands on a database with one schedule."""
    here("schedules", "add", "nightly", "clean", '{"days": 3}', "--cron", "0 3 * * *").well()
    return here


def test_a_schedule_is_added_and_shown(nightly: Run) -> None:
    """As a line among others, with all there is to know, and as JSON."""
    (line,) = nightly("schedules", "list").well().output.splitlines()[1:]
    assert line.split()[:2] == ["nightly", "active"]
    assert line.split()[-7:] == ["0", "3", "*", "*", "*", "UTC", "clean"]
    shown = nightly("schedules", "show", "nightly").well().output
    assert 'args          {"days":3}\n' in shown
    document = nightly("schedules", "show", "nightly", "--json").well().document
    assert (document["name"], document["state"], document["cron"]) == (
        "nightly", "active", "0 3 * * *"
    )  # fmt: skip
    assert nightly("schedules", "list", "--json").well().document == [document]


def test_a_schedule_added_again_is_changed(nightly: Run) -> None:
    """The tick to come is replaced, and nothing is left of the one before."""
    nightly("schedules", "add", "nightly", "clean", "--every", "3600", "--overlap", "allow").well()
    document = nightly("schedules", "show", "nightly", "--json").document
    assert (document["cron"], document["every_s"], document["overlap"]) == (None, 3600, "allow")
    jobs = nightly("jobs", "list", "--json").document
    assert {job["path"] for job in jobs} == {"clean"}
    assert len(jobs) <= 2  # the next, and the one after it when that is near


def test_a_schedule_is_paused_resumed_run_and_deleted(nightly: Run) -> None:
    """Its tick to come goes and comes with it; a run by hand is a job of its own."""
    assert nightly("schedules", "pause", "nightly").well().output == "nightly is paused\n"
    assert nightly("jobs", "list", "--json").document == []
    resumed = nightly("schedules", "resume", "nightly", "--json").well().document
    assert resumed["state"] == "active"
    (tick,) = nightly("jobs", "list", "--json").document
    job = nightly("schedules", "run", "nightly", "--json").well().document["id"]
    assert nightly("jobs", "show", job, "--json").document["state"] == "ready"
    assert nightly("schedules", "delete", "nightly").well().output == "nightly is deleted\n"
    assert nightly("jobs", "list", "--json").document[0]["id"] == job
    assert nightly("jobs", "show", tick["id"]).status == ExitStatus.USAGE


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("add", "s", "f", "--cron", "0 0 30 2 *"), "or one that its months never have"),
        (("add", "s", "f", "--cron", "* * * * *", "--timezone", "Moon"), "no time zone 'Moon'"),
        (("add", "s", "f"), "just one of"),
        (("add", "s", "f", "--every", "0"), "interval of a schedule of 0 will not do"),
        (("add", "s", "f", "--at", "soon"), "soon is not a time"),
        (("add", "s", "f", "{", "--every", "60"), "the arguments are not JSON"),
        (("add", "s", "f", "--every", "60", "--overlap", "no"), "unknown overlap 'no'"),
        (("add", "s\x00", "f", "--every", "60"), "the schedule name"),
        (("show", "nobody"), "there is no schedule 'nobody'"),
        (("pause", "no\x00body"), "there is no schedule"),
        (("resume", "nobody"), "there is no schedule 'nobody'"),
        (("run", "nobody"), "there is no schedule 'nobody'"),
        (("delete", "nobody"), "there is no schedule 'nobody'"),
        (("list", "--limit", "0"), "a limit of 0 will not do"),
    ],
)
def test_a_mistake_is_one_line(here: Run, arguments: tuple[str, ...], complaint: str) -> None:
    """It says what is wrong, and nothing is stored."""
    ended = here("schedules", *arguments)
    assert ended.status == ExitStatus.USAGE
    assert complaint in ended.complaints
    assert ended.complaints.count("\n") == 1
    assert here("schedules", "list", "--json").document == []


def test_a_worker_declares_the_schedules_of_its_app(database_url: str, tmp_path: Path) -> None:
    """Those that are new or changed; what is declared no longer is told of, and left alone."""
    file = tmp_path / "ticking.py"
    file.write_text(dedent(DECLARED))

    def work() -> str:
        return (
            run("run", "ticking:app", "--drain", url=database_url, cwd=tmp_path).well().complaints
        )

    assert "schedules declared" in work()
    assert "schedules declared" not in work()
    file.write_text(dedent(DECLARED).replace('name="soon"', 'name="later"'))
    said = work()
    assert "schedules left" in said
    assert "soon" in said
    listed = run("schedules", "list", "--json", url=database_url).document
    assert [schedule["name"] for schedule in listed] == ["later", "soon", "tick"]
    assert {schedule["declared_by"] for schedule in listed} == {"ticking"}
