"""How flags and variables become settings, and which of them go together."""

from typing import Any, Final

import pytest

from tests.settings.reading import read, refusal
from trioworker.model.batching import Mode
from trioworker.settings import TABLE, Setting, Settings, read_settings

URL: Final = "postgresql://me:secret@localhost/jobs"
BATCHING: Final = [s for s in TABLE.values() if s.modes == frozenset({Mode.AGENT_BATCH})]

AGENT: Final = {"BASE_INTERNAL_URL": "http://server:8600", "AGENT_TOKEN": "a.token." + "x" * 40}


def test_without_flags_and_variables_everything_has_its_default() -> None:
    """An empty environment gives the defaults of a standalone worker, which has no batches."""
    settings = read()

    assert settings.mode is Mode.STANDALONE
    assert settings == Settings(batch_pull_size=0)


def test_agent_batch_has_the_defaults_of_the_table() -> None:
    """In the mode that uses them, the batch settings are what the table says."""
    settings = read(MODE="agent-batch")

    assert settings == Settings(mode=Mode.AGENT_BATCH)
    assert settings.batch_pull_size == 100


def test_a_flag_wins_over_a_variable() -> None:
    """A variable is what holds everywhere, a flag is what is meant here."""
    settings = read({"concurrency": "7"}, TRIOWORKER_CONCURRENCY="5", TRIOWORKER_POLL_S="2")

    assert (settings.concurrency, settings.poll_s) == (7, 2.0)


def test_a_flag_that_was_not_given_leaves_the_variable() -> None:
    """None is what the command line hands over for a flag that nobody gave."""
    assert read({"concurrency": None}, TRIOWORKER_CONCURRENCY="5").concurrency == 5


def test_a_variable_that_a_flag_replaces_is_not_looked_at() -> None:
    """A bad value that does not count is no reason to refuse."""
    assert read({"concurrency": "7"}, TRIOWORKER_CONCURRENCY="many").concurrency == 7


def test_an_empty_variable_counts_as_unset() -> None:
    """`VARIABLE= trioworker …` is how a shell takes a setting away."""
    variables = {setting.variable: "" for setting in TABLE.values()}

    assert read(**variables) == read()


def test_a_bad_variable_is_named_as_it_was_written() -> None:
    """Whoever set a variable is not told about a flag."""
    message = refusal(TRIOWORKER_CONCURRENCY="many")

    assert message == (
        "TRIOWORKER_CONCURRENCY=many will not do; give a whole number from 1 to 10000"
    )


def test_a_long_value_is_shown_by_its_beginning() -> None:
    """The line stays one that can be read."""
    message = refusal({"mode": "x" * 10_000})

    assert message.startswith(f"--mode={'x' * 100}… will not do")


def test_a_line_break_in_a_value_breaks_no_line() -> None:
    """A value that is shown is shown on one line."""
    assert refusal(MODE="worker\nstandalone").startswith(r"MODE=worker\nstandalone will not do")


def test_settings_that_a_command_does_not_take_are_left_alone() -> None:
    """A command reads the variables of its own flags and of no others."""
    environment = {"TRIOWORKER_CONCURRENCY": "many", "MODE": "none", "DATABASE_URL": URL}

    settings = read_settings({}, environment, names=("database_url",))

    assert settings == Settings(database_url=URL, batch_pull_size=0)


@pytest.mark.parametrize("setting", BATCHING, ids=lambda setting: setting.name)
@pytest.mark.parametrize("mode", [mode for mode in Mode if not mode.batches])
def test_a_setting_that_its_mode_does_not_use_is_refused(mode: Mode, setting: Setting) -> None:
    """Silence would let somebody believe in batches that do not happen; flag and variable alike."""
    value = setting.default_is
    rest = f": the mode {mode} does not use it; drop it, or choose --mode agent-batch"

    from_flag = refusal({"mode": mode, setting.name: value})
    from_variable = refusal({"mode": mode}, **{setting.variable: value})

    assert from_flag == f"{setting.flag}={value}{rest}"
    assert from_variable == f"{setting.variable}={value}{rest}"


@pytest.mark.parametrize("mode", [mode for mode in Mode if not mode.batches])
def test_a_pull_size_of_0_says_no_batches(mode: Mode) -> None:
    """BATCH_PULL_SIZE=0 is true in every mode without batches, so it may be said there."""
    agent = AGENT if mode is Mode.AGENT else {}
    assert read({"batch_pull_size": "0", "mode": mode}, **agent).batch_pull_size == 0
    assert read(MODE=mode, BATCH_PULL_SIZE=" 0 ", **agent).batch_pull_size == 0


@pytest.mark.parametrize("mode", ["agent", "agent-batch"])
def test_an_agent_has_a_server_and_a_token(mode: str) -> None:
    """One of the two alone is a mistake, which is told before anything is asked of anybody."""
    settings = read(MODE=mode, **AGENT)
    assert (settings.base_internal_url, settings.agent_token) == tuple(AGENT.values())
    assert "set BASE_INTERNAL_URL" in refusal(MODE=mode, AGENT_TOKEN=AGENT["AGENT_TOKEN"])
    assert "set AGENT_TOKEN" in refusal(MODE=mode, BASE_INTERNAL_URL="http://server:8600")


def test_who_says_agent_says_where_the_server_is() -> None:
    """In agent-batch mode there may be a database instead."""
    assert "set BASE_INTERNAL_URL" in refusal(MODE="agent")
    assert read(MODE="agent-batch").base_internal_url is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgresql://here/jobs"),
        ("TRIOWORKER_DATA_DIR", "folder"),
        ("TRIOWORKER_TAGS", "a,b"),
        ("TRIOWORKER_LISTEN", "127.0.0.1:8600"),
        ("TRIOWORKER_RETENTION_DAYS", "3"),
    ],
)
def test_an_agent_has_no_database(variable: str, value: str) -> None:
    """Nor what goes with one; nobody shall believe that it is used."""
    assert "drop one of the two" in refusal(MODE="agent-batch", **AGENT, **{variable: value})
    assert "does not use it" in refusal(MODE="agent", **AGENT, **{variable: value})


@pytest.mark.parametrize(
    "address",
    ["server:8600", "ftp://server", "http://", "http://user:word@server", "http://server?a=b"],
)
def test_the_address_of_a_server(address: str) -> None:
    """What can be none is told as that, without a password that may be in it."""
    said = refusal(MODE="agent", AGENT_TOKEN=AGENT["AGENT_TOKEN"], BASE_INTERNAL_URL=address)
    assert said.startswith("BASE_INTERNAL_URL")
    assert "word" not in said


def test_a_pull_size_of_0_is_no_batch() -> None:
    """In agent-batch mode it would claim nothing for ever."""
    line = "will not do; give a whole number from 1 to 10000"

    assert refusal(MODE="agent-batch", BATCH_PULL_SIZE="0") == f"BATCH_PULL_SIZE=0 {line}"
    assert refusal({"mode": "agent-batch", "batch_pull_size": "0"}) == f"--batch-pull-size=0 {line}"


def test_a_size_that_is_none_is_refused_in_every_mode() -> None:
    """What is no number at all is told as that, whatever the mode."""
    assert refusal(BATCH_PULL_SIZE="lots").startswith("BATCH_PULL_SIZE=lots will not do; give a")


@pytest.mark.parametrize(
    ("flags", "variables", "sources"),
    [
        ({"database_url": URL, "data_dir": "d"}, {}, ("--data-dir=d", "--database-url")),
        (
            {},
            {"DATABASE_URL": URL, "TRIOWORKER_DATA_DIR": "d"},
            ("TRIOWORKER_DATA_DIR=d", "DATABASE_URL"),
        ),
    ],
)
def test_two_databases_of_one_source_are_refused(
    flags: dict[str, str], variables: dict[str, str], sources: tuple[str, str]
) -> None:
    """Nobody can tell which of the two was meant; the address is not shown."""
    assert refusal(flags, **variables) == (
        f"{sources[0]} is the folder of the embedded PostgreSQL, which {sources[1]} replaces;"
        " drop one of the two"
    )


def test_of_two_databases_the_flag_is_meant() -> None:
    """A flag beats the other one's variable, which is then not even looked at."""
    embedded = read({"data_dir": "d"}, DATABASE_URL="not an address")
    own = read({"database_url": URL}, TRIOWORKER_DATA_DIR="~nobody-of-this-name")

    assert (embedded.database_url, str(embedded.data_dir)) == (None, "d")
    assert (own.database_url, own.data_dir) == (URL, None)


@pytest.mark.parametrize(
    ("flags", "variables", "source", "lease", "heartbeat"),
    [
        ({"lease_s": "10"}, {}, "--lease-s=10", "10", "5"),
        ({}, {"TRIOWORKER_LEASE_S": "10"}, "TRIOWORKER_LEASE_S=10", "10", "5"),
        ({"heartbeat_s": "15"}, {}, "--heartbeat-s=15", "30", "15"),
        ({}, {"TRIOWORKER_HEARTBEAT_S": "15"}, "TRIOWORKER_HEARTBEAT_S=15", "30", "15"),
        ({"lease_s": "8", "heartbeat_s": "4"}, {}, "--lease-s=8", "8", "4"),
    ],
)
def test_a_lease_that_one_lost_heartbeat_would_end_is_refused(
    flags: dict[str, str], variables: dict[str, str], source: str, lease: str, heartbeat: str
) -> None:
    """The line names what was set and both numbers, because one of them may be a default."""
    assert refusal(flags, **variables) == (
        f"{source}: a lease of {lease} s is too short for a heartbeat every {heartbeat} s;"
        " it must be more than twice as long"
    )


def test_a_lease_of_a_little_more_than_two_heartbeats_will_do() -> None:
    """The bound itself is not enough, anything above it is."""
    settings = read({"lease_s": "8.1", "heartbeat_s": "4"})

    assert (settings.lease_s, settings.heartbeat_s) == (8.1, 4.0)


def test_flags_and_variables_are_the_name_in_two_spellings() -> None:
    """Nobody has to look up one of them who knows the other."""
    plain: dict[str, Any] = {}
    for name, setting in TABLE.items():
        assert setting.flag == "--" + name.replace("_", "-")
        if setting.variable != f"TRIOWORKER_{name.upper()}":
            plain[setting.variable] = name.upper()

    assert [*plain] == [*plain.values()]
    assert {*plain} == {
        "DATABASE_URL",
        "MODE",
        "BATCH_PULL_SIZE",
        "BATCH_COMMIT_SIZE",
        "BATCH_POLICY",
        "COMMIT_FALLBACK",
        "BASE_INTERNAL_URL",
        "AGENT_TOKEN",
    }
