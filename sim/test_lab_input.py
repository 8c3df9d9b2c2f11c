"""Bad input to the laboratory: one clear line, and a status that is not 0."""

from pathlib import Path

import pytest
import trio

from sim.crafted import lab, written
from sim.trace import VERSION as TRACE_VERSION


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "--seed", "x"], "x is neither a seed (0, 1, 2, …) nor a scenario file"),
        (["run", "--seed", "-1"], "-1 is neither a seed"),
        (["run", "--seed", "9" * 30], "is too large; at most"),
        (["run"], "missing option '--seed'; `python -m sim run --help` shows"),
        (["explore", "--seeds", "5"], "5 is no range of seeds; write it as 0..2000"),
        (["explore", "--seeds", "a..b"], "a..b is no range of seeds"),
        (["explore", "--seeds", "9..9"], "there is no seed in 9..9"),
        (["explore", "--seeds", f"0..{'9' * 30}"], "are too large"),
        (["explore", "--minutes", "-1"], "invalid value for '--minutes'"),
        (["explore", "--cores", "0"], "invalid value for '--cores'"),
        (["replay", "no-such-file.toml"], "no-such-file.toml is neither a seed"),
        (["replay", "1", "--worker", "99"], "there is no worker 99 in this run; the last is"),
        (["shrink", "1", "--runs", "0"], "invalid value for '--runs'"),
        (["zoo", "--seeds", "0"], "invalid value for '--seeds'"),
        (["zoo", "unicorn"], "there is no mutant unicorn; one of: "),
        (["run", "--seed", "1", "--mutant", "unicorn"], "there is no mutant unicorn"),
        (["dance"], "no such command 'dance'; `python -m sim --help` shows what there is"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(arguments: list[str], complaint: str) -> None:
    """It says what is wrong, and the status is 2."""
    ended = lab(*arguments)

    assert ended.status == 2
    assert ended.output == ""
    assert complaint in ended.complaint
    assert ended.complaint.count("\n") == 1


PLAN = "[plan]\nseed = 1\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no scenario", "is no scenario: "),
        (f"version = 99\nstory = ''\n{PLAN}", "is of version 99, and this simulator"),
        (f"version = 1\nstory = 7\n{PLAN}", "is no scenario: Expected 'str'"),
        (f"version = 1\nstory = ''\nwho = 1\n{PLAN}", "unknown field 'who'"),
        (f"version = 1\nstory = ''\n{PLAN}exactly = ['nonsense']", "nonsense"),
    ],
    ids=["not TOML", "version", "type", "field", "fault"],
)
def test_a_scenario_file_that_will_not_do_is_one_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    """It says what is wrong in it."""
    path = tmp_path / "bad.toml"
    path.write_text(text)
    ended = lab("replay", str(path))

    assert ended.status == 2
    assert complaint in ended.complaint
    assert ended.complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no trace; `python -m sim run --save-trace` makes one"),
        ("[]\n", "is no trace"),
        ('{"trace":99,"of":"x"}\n', f"of version 99, and this simulator writes {TRACE_VERSION}"),
    ],
    ids=["empty", "other JSON", "version"],
)
def test_a_trace_that_will_not_do_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    """Traces are compared within one version."""
    path = tmp_path / "trace"
    path.write_text(text)
    ended = lab("run", "--seed", written(tmp_path), "--compare", str(path))

    assert ended.status == 2
    assert complaint in ended.complaint
    assert ended.complaint.count("\n") == 1


@pytest.mark.parametrize("command", [["run", "--seed", "1"], ["explore"], ["zoo"]], ids=" ".join)
def test_another_trio_is_one_line(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """It is said before anything is run."""
    monkeypatch.setattr(trio, "__version__", "0.99.0")
    ended = lab(*command)

    assert ended.status == 2
    assert "trio 0.99.0 is installed; pip install trio==" in ended.complaint
    assert ended.complaint.count("\n") == 1


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A file where a folder should be, for each command that writes."""
    taken = tmp_path / "taken"
    taken.touch()

    for ended in (
        lab("show", written(tmp_path), "--out", str(taken)),
        lab("run", "--seed", written(tmp_path), "--save-trace", str(taken / "trace")),
    ):
        assert ended.status == 2
        assert "cannot be written" in ended.complaint
        assert ended.complaint.count("\n") == 1


def test_shrinking_what_does_not_fail_is_one_line(tmp_path: Path) -> None:
    """There is nothing to be made smaller."""
    ended = lab("shrink", written(tmp_path))

    assert ended.status == 2
    assert "crafted has no finding, so there is nothing to shrink" in ended.complaint


def test_a_job_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """The last number is said, so that the next try can be right."""
    ended = lab("replay", written(tmp_path), "--job", "99")

    assert ended.status == 2
    assert "there is no job 99 in this run; the last one is 04" in ended.complaint
