"""What docs/deploy.md shows is read as those would read it who run it, and its figures are true."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import page
from tests.docs.test_commands import read
from trioworker.cli.exits import ExitStatus
from trioworker.cli.http import lanes_for
from trioworker.model.batching import Mode
from trioworker.server.guard import BODY_BYTES_MAX
from trioworker.server.serve import CONNECTIONS_MAX
from trioworker.settings import TABLE, Settings, read_settings
from trioworker.store import wire
from trioworker.store.agent import HINT_WAIT_S
from trioworker.store.postgres.connecting import SETTINGS

PAGE: Final = page("docs/deploy.md")
LISTENS: Final = {Mode.WORKER: 1, Mode.AGENT_BATCH: 1, Mode.SERVER: 3, Mode.STANDALONE: 3}
"""For what each has a connection of its own: hints of its worker, of agents, of sweeps, results."""
ANALYZE: Final = shutil.which("systemd-analyze")
PROGRAM: Final = re.compile(r"/\S+/bin/trioworker ")


def shown(language: str, words: str = "") -> str:
    """The one block in this language with these words."""
    (text,) = [
        block.text for block in PAGE.blocks if block.language == language and words in block.text
    ]
    return text


def sections(text: str) -> Mapping[str, Mapping[str, str]]:
    """A file of sections, as systemd and PgBouncer have them."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd minds the case
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def defaults(mode: Mode) -> Settings:
    """The settings of a process in this mode."""
    return read_settings({"mode": mode.value}, {}, names=TABLE)


def test_the_unit_starts_a_worker_and_waits_for_it() -> None:
    """Its command is one, a mistake is not repeated, and a stop has the time that it may take."""
    service = sections(shown("ini", "[Service]"))["Service"]
    command = PROGRAM.sub("", service["ExecStart"])
    assert command != service["ExecStart"]
    read(shlex.split(command))
    assert int(service["RestartPreventExitStatus"]) == ExitStatus.USAGE
    settings = defaults(Mode.AGENT_BATCH)
    assert int(service["TimeoutStopSec"]) > settings.grace_s + 2 * settings.flush_s
    assert int(service["LimitNOFILE"]) > CONNECTIONS_MAX


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Every key is known to it, and every value will do."""
    assert ANALYZE is not None
    here = Path(sys.executable).parent / "trioworker"
    unit = tmp_path / "trioworker.service"
    unit.write_text(PROGRAM.sub(f"{here} ", shown("ini", "[Service]")), "utf-8")
    ended = subprocess.run(
        [ANALYZE, "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert [line for line in ended.stderr.splitlines() if unit.name in line] == []


def test_the_variables_are_settings() -> None:
    """Each of them, with a value that will do."""
    lines = dict(line.split("=", 1) for line in shown("dotenv").splitlines())
    assert {*lines} <= {setting.variable for setting in TABLE.values()}
    assert read_settings({}, {**lines, "MODE": "agent-batch"}, names=TABLE).concurrency == 200


def test_the_container_runs_a_worker() -> None:
    """Not as root, by a command and variables that there are, and SIGTERM reaches it."""
    steps = [line.split(" ", 1) for line in shown("dockerfile").splitlines()]
    known = {"FROM", "COPY", "RUN", "WORKDIR", "USER", "ENV", "STOPSIGNAL", "CMD"}
    said = dict(steps)
    assert {*said} == known
    assert steps[0][0] == "FROM"
    variables = dict(pair.split("=", 1) for pair in shlex.split(said["ENV"]))
    assert read_settings({}, variables, names=TABLE).mode is Mode.AGENT_BATCH
    program, *words = json.loads(said["CMD"])
    assert program == "trioworker"
    read(words)
    assert said["USER"] != "root"
    assert said["STOPSIGNAL"] == "SIGTERM"


def test_the_proxy_is_as_patient_as_an_agent() -> None:
    """It waits longer than for a hint, takes bodies that large, and opens the agents' part."""
    text = shown("nginx")
    assert text.count("{") == text.count("}")
    directives = dict(
        line.strip().rstrip(";").split(" ", 1) for line in text.splitlines() if ";" in line
    )
    assert int(directives["proxy_read_timeout"].rstrip("s")) > wire.HINT_WAIT_S_MAX > HINT_WAIT_S
    assert int(directives["client_max_body_size"].rstrip("m")) * 2**20 > BODY_BYTES_MAX
    assert re.findall(r"location (\S+)", text) == [wire.PREFIX]
    prose = " ".join(PAGE.prose.split())
    assert f"longer than {wire.HINT_WAIT_S_MAX:g} s" in prose
    assert f"waits up to {HINT_WAIT_S:g} s" in prose
    assert f"Bodies of {BODY_BYTES_MAX // 2**20} MiB" in prose
    assert f"takes {CONNECTIONS_MAX} connections" in prose


def test_the_pooler_refuses_what_it_cannot_keep() -> None:
    """By which it is found out; the page names all that it must not be told to ignore."""
    pooler = sections(shown("ini", "[pgbouncer]"))["pgbouncer"]
    assert pooler["pool_mode"] == "transaction"
    ours = {*SETTINGS, "synchronous_commit"}
    assert not ours & {name.strip() for name in pooler["ignore_startup_parameters"].split(",")}
    assert ours <= {*PAGE.spans}


def test_the_connections_are_counted() -> None:
    """Those of the lanes, and those on which it listens."""
    (table,) = [found for found in PAGE.tables if found.head == ["process", "connections"]]
    modes: Sequence[Sequence[Mode]] = (
        (Mode.WORKER, Mode.AGENT_BATCH), (Mode.SERVER,), (Mode.STANDALONE,),
    )  # fmt: skip
    for (_, number), same in zip(table.rows, modes, strict=True):
        for mode in same:
            lanes = sum(lane.size for lane in lanes_for(defaults(mode)))
            assert int(number) == lanes + LISTENS[mode]


def test_an_address_may_name_several_servers() -> None:
    """As the page shows it."""
    found = re.search(r"DATABASE_URL='(\S+,\S+target_session_attrs=read-write)'", PAGE.text)
    assert found is not None
    assert read_settings({}, {"DATABASE_URL": found[1]}, names=TABLE).database_url == found[1]
