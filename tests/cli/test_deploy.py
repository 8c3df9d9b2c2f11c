"""`trioworker deploy` and `trioworker scripts`, and the scripts of a worker's own."""

import os
import zipfile
from pathlib import Path

import pytest

from tests.cli.commands import Run, run
from trioworker.ids import new_id
from trioworker.model.agent_token import AgentToken, encode_token
from trioworker.model.tags import unranked

WHEEL = "answer-1.0.dist-info"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that answers."""
    file = tmp_path / "question.py"
    file.write_text("# requirements: answer\nimport answer\ndef main(): return answer.IT\n")
    return file


def wheels(folder: Path) -> dict[str, str]:
    """The package `answer`, and the variables that let pip find that and nothing else."""
    with zipfile.ZipFile(folder / "answer-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("answer.py", "IT = 42\n")
        wheel.writestr(f"{WHEEL}/METADATA", "Metadata-Version: 2.1\nName: answer\nVersion: 1.0\n")
        wheel.writestr(f"{WHEEL}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{WHEEL}/RECORD", "")
    return {"PIP_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


def test_a_file_is_deployed_and_run(
    here: Run, database_url: str, tmp_path: Path, script: Path
) -> None:
    """From the file to its result, with what it requires; the lists show how it stands."""
    said = here("deploy", str(script), "--dedicated", "--path", "shop/question.py").well().output
    assert said.startswith(
        "shop/question.py is deployed, version 1\nwhat it requires is installed by"
    )
    assert "not installed yet" in here("scripts", "list").well().output
    job = here("enqueue", "shop/question.py", "--kind", "script").well().output.strip()
    cache = ("--cache-dir", str(tmp_path / "cache"))
    tags = ("--tags", "default,dependencies", "--mode", "agent-batch")
    run("run", "--drain", *tags, *cache, url=database_url, cwd=tmp_path, **wheels(tmp_path)).well()
    shown = here("jobs", "show", job, "--json").document
    assert (shown["result"], shown["error"]) == (42, None)
    assert "1 locked" in here("scripts", "list").well().output
    shown = here("scripts", "show", "shop/question.py").well().output
    assert "requires      answer\nlocked to     answer==1.0\n" in shown
    (version,) = here("scripts", "show", "shop/question.py", "--json").document
    assert (version["version"], version["dedicated"]) == (1, True)
    text = here("scripts", "show", "shop/question.py", "--version", "1").well().output
    assert text == script.read_text()
    again = here("deploy", str(script), "--dedicated", "--path", "shop/question.py", "--json")
    assert again.document == {
        "path": "shop/question.py", "version": 1, "new": False, "dependencies": None,
    }  # fmt: skip


def test_who_waits_is_told_what_cannot_be_installed(
    here: Run, database_url: str, tmp_path: Path
) -> None:
    """With the status of a command that failed."""
    (tmp_path / "a.py").write_text("# requirements: nonexistent-zzz\n")
    here("deploy", str(tmp_path / "a.py")).well()
    tags = ("--tags", "dependencies", "--cache-dir", str(tmp_path / "cache"))
    run("run", "--drain", *tags, url=database_url, cwd=tmp_path, **wheels(tmp_path)).well()
    ended = here("deploy", str(tmp_path / "a.py"), "--path", "b.py", "--json")
    ended.well()
    run("run", "--drain", *tags, url=database_url, cwd=tmp_path, **wheels(tmp_path)).well()
    ended = here("jobs", "wait", ended.document["dependencies"])
    assert ended.status == 1
    assert "requirement 'nonexistent-zzz' cannot be installed: " in ended.complaints


def test_what_a_script_made_of_its_arguments_is_shown(
    here: Run, database_url: str, tmp_path: Path
) -> None:
    """Beside those that the job was given."""
    text = "def preprocess(args): return [args['order']]\ndef main(order): return order"
    (tmp_path / "a.py").write_text(text)
    here("deploy", str(tmp_path / "a.py")).well()
    job = here("enqueue", "a.py", '{"order": 7}', "--kind", "script").well().output.strip()
    run("run", "--drain", "--cache-dir", "cache", url=database_url, cwd=tmp_path).well()
    shown = here("jobs", "show", job).well().output
    assert 'args          {"order":7}\npreprocessed  [7]\n' in shown
    assert here("jobs", "show", job, "--json").document["preprocessed"] == [7]


@pytest.mark.parametrize(
    ("name", "content", "flag", "message"),
    [
        ("gone.py", None, "", "the file {} cannot be read: No such file or directory"),
        ("bin.py", b"\xff", "", "the file {} is not UTF-8 text; a script is"),
        ("a.exe", b"x", "", "the end of 'a.exe' names no language; known are .py, "),
        ("a.py", b"x", "--language=cobol", "unknown language 'cobol'; one of python, "),
        ("a.sh", b"x", "--dedicated", "the script 'a.sh' is in bash, which cannot be dedicated"),
        ("b.py", b"#" * 4_194_305, "", "the script 'b.py' is too large: 4,194,305 bytes, at most"),
        ("b.py", b"\xff" * 4_194_306, "", "the script 'b.py' is too large: 4,194,305 bytes, at"),
        ("c.py", b"# requirements: -r x", "", "the script 'c.py': the requirement '-r x' is an"),
        ("d.py", b"a\0", "", "the script 'd.py' contains a NUL character; a script is text"),
    ],
)
def test_what_cannot_be_deployed_is_one_line(
    here: Run,
    tmp_path: Path,
    *,
    name: str,
    content: bytes | None,
    flag: str,
    message: str,
) -> None:
    """What is wrong with it, and nothing is stored."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    ended = here("deploy", str(file), *filter(None, [flag]))
    assert (ended.status, ended.output) == (2, "")
    assert ended.complaints.startswith(f"trioworker: {message.format(file)}")
    assert ended.complaints.count("\n") == 1
    assert here("scripts", "list", "--json").document == []


def test_a_script_that_is_not_deployed_is_unknown(here: Run) -> None:
    """In a line that says where to look."""
    ended = here("scripts", "show", "a.py")
    message = "there is no deployed script 'a.py'; `trioworker scripts list` shows those there are"
    assert (ended.status, ended.complaints) == (2, f"trioworker: {message}\n")


# ---- scripts of the worker's own --------------------------------------------------------------


def test_the_init_script_comes_before_the_first_job(
    here: Run, database_url: str, tmp_path: Path
) -> None:
    """And what it has prepared is there for the jobs."""
    (tmp_path / "init.sh").write_text(f"echo ready > {tmp_path}/prepared; echo said")
    (tmp_path / "job.sh").write_text(f"echo 1 > $TRIOWORKER_RESULT; cat {tmp_path}/prepared")
    job = here("enqueue", "job.sh", "--kind", "script").well().output.strip()
    ended = run("run", "--drain", "--init-script", "init.sh", url=database_url, cwd=tmp_path).well()
    assert here("jobs", "logs", job).well().output == "ready\n"
    assert '"what": "init_script"' in ended.complaints.replace('":"', '": "')


def test_an_init_script_that_fails_stops_the_worker(
    here: Run, database_url: str, tmp_path: Path
) -> None:
    """With a line that says why, and no job is pulled."""
    (tmp_path / "init.sh").write_text("echo no disk; exit 3")
    job = here("enqueue", "job.sh", "--kind", "script").well().output.strip()
    ended = run("run", "--drain", "--init-script", "init.sh", url=database_url, cwd=tmp_path)
    assert ended.status == 1
    assert ended.complaints.splitlines()[-1] == (
        "trioworker: the init script 'init.sh' failed, so the worker does not start: ScriptFailed:"
        " the script exited with status 3; last output: no disk"
    )
    assert here("jobs", "show", job, "--json").document["state"] == "ready"


def test_an_agent_has_an_init_script(here: Run, tmp_path: Path) -> None:
    """It comes before the first request, so nobody need be there to answer."""
    (tmp_path / "init.sh").write_text("exit 3")
    token = AgentToken(new_id(), "agents", unranked("default"), None)
    ended = here(
        "run", "--mode", "agent", "--init-script", "init.sh", "--scripts-dir", str(tmp_path),
        DATABASE_URL="", BASE_INTERNAL_URL="http://127.0.0.1:1",
        AGENT_TOKEN=encode_token(token, "a-secret-of-the-tests-long-enough-to-be-one"),
    )  # fmt: skip
    assert ended.status == 1
    assert "the init script 'init.sh' failed, so the worker does not start" in ended.complaints


def test_the_periodic_script_is_run_again_and_again(
    here: Run, database_url: str, tmp_path: Path
) -> None:
    """Beside the jobs; one that fails changes nothing."""
    (tmp_path / "tick.sh").write_text(f"echo >> {tmp_path}/ticks; exit 1")
    wait = f"while [ $(wc -l < {tmp_path}/ticks) -lt 3 ]; do sleep 0.01; done"
    (tmp_path / "job.sh").write_text(wait)
    here("enqueue", "job.sh", "--kind", "script").well()
    flags = ("--periodic-script", "tick.sh", "--periodic-s", "0.05")
    ended = run("run", "--drain", *flags, url=database_url, cwd=tmp_path).well()
    assert "script failed" in ended.complaints
    assert here("jobs", "list", "--json").document[0]["state"] == "success"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--init-script", "gone.sh"),
            "--init-script: there is no script 'gone.sh' in the scripts folder",
        ),
        (
            ("--periodic-script", "../x.sh"),
            "--periodic-script: script '../x.sh' is outside the scripts folder",
        ),
        (
            ("--periodic-s", "5"),
            "--periodic-s=5: there is no periodic script; name one with --periodic-script",
        ),
    ],
)
def test_scripts_of_its_own_that_cannot_be_are_one_line(
    here: Run, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    """Before anything is begun."""
    ended = here("run", "--drain", "--scripts-dir", str(tmp_path), *flags)
    assert (ended.status, ended.complaints) == (2, f"trioworker: {message}\n")


def test_a_cache_folder_that_cannot_be_made_is_one_line(here: Run, tmp_path: Path) -> None:
    """That names the folder and the setting."""
    (tmp_path / "file").touch()
    ended = here("run", "--drain", "--cache-dir", str(tmp_path / "file" / "cache"))
    assert ended.status == 2
    assert ended.complaints == (
        f"trioworker: the cache folder {tmp_path}/file/cache cannot be made: Not a directory; name"
        " another with --cache-dir\n"
    )
