"""The settings themselves: each field of `Settings` is one, with all there is to know about it.

Rule of this file: a setting is written down once, here. Its flag and its variable are its name in
two spellings; the names that had a meaning before us (`plain`) keep their variable unprefixed.
"""

import typing
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from trioworker.model.agent_token import SECRET_CHARS_MIN, TOKEN_CHARS_MAX
from trioworker.model.batching import (
    DEFAULT_COMMIT_SIZE,
    DEFAULT_PULL_SIZE,
    SIZE_MAX,
    BatchPolicy,
    Fallback,
    Mode,
)
from trioworker.model.job import DEFAULT_TAG
from trioworker.model.tags import Tags, unranked
from trioworker.settings.kinds import (
    Address,
    LogFormat,
    LogLevel,
    UnknownFunctions,
    ValueKind,
    choice,
    database_address,
    days,
    folder,
    listen_address,
    schema_name,
    seconds,
    secret_word,
    server_address,
    switch,
    tag_list,
    text,
    whole,
    words,
)
from trioworker.settings.setting import Setting
from trioworker.store.postgres.statements import DEFAULT_SCHEMA

API_KEY_CHARS_MIN: Final = 16
LISTEN: Final = Address("127.0.0.1", 8600, asked=False)
"""Where a server listens unless it is told."""

_EVERY_MODE: Final = frozenset(Mode)
_BATCHING: Final = frozenset(mode for mode in Mode if mode.batches)
_WORKING: Final = frozenset(mode for mode in Mode if mode.works)
_WITH_DATABASE: Final = _EVERY_MODE - {Mode.AGENT}
_WORKING_WITH_DATABASE: Final = _WORKING & _WITH_DATABASE
_AGENTS: Final = frozenset({Mode.AGENT, Mode.AGENT_BATCH})


class _Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the name, type and default of a setting; see `Setting`."""

    kind: ValueKind
    help: str
    plain: bool = False
    modes: frozenset[Mode] = _EVERY_MODE
    elsewhere: Any = None
    default_is: str = ""


def _spec(kind: ValueKind, help_: str, **more: Any) -> _Spec:  # noqa: ANN401 - its fields
    return _Spec(kind=kind, help=help_, **more)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set. Names that end in `_s` are seconds."""

    database_url: Annotated[
        str | None,
        _spec(
            database_address(),
            "The PostgreSQL that holds the jobs.",
            plain=True,
            default_is="the embedded PostgreSQL",
            modes=_WITH_DATABASE,
        ),
    ] = None
    listen_database_url: Annotated[
        str | None,
        _spec(
            database_address(),
            "Where to listen for notifications, when DATABASE_URL is a pooler's.",
            default_is="the same address",
            modes=_WITH_DATABASE,
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        _spec(
            folder(),
            "Where the embedded PostgreSQL keeps its data.",
            default_is="`trioworker` in the user's data folder",
            modes=_WITH_DATABASE,
        ),
    ] = None
    schema: Annotated[
        str,
        _spec(schema_name(), "The schema of trioworker's tables.", modes=_WITH_DATABASE),
    ] = DEFAULT_SCHEMA
    command_timeout_s: Annotated[
        float, _spec(seconds(), "How long the database may take to answer a statement.")
    ] = 30.0
    mode: Annotated[
        Mode,
        _spec(
            choice(Mode), "What kind of process this is; agent-batch works in batches.", plain=True
        ),
    ] = Mode.STANDALONE
    batch_pull_size: Annotated[
        int,
        _spec(
            whole(1, SIZE_MAX),
            "How many jobs a pull may claim.",
            plain=True,
            modes=_BATCHING,
            elsewhere=0,
        ),
    ] = DEFAULT_PULL_SIZE
    batch_commit_size: Annotated[
        int,
        _spec(
            whole(1, SIZE_MAX), "How many outcomes a commit may store.", plain=True, modes=_BATCHING
        ),
    ] = DEFAULT_COMMIT_SIZE
    batch_policy: Annotated[
        BatchPolicy,
        _spec(
            choice(BatchPolicy),
            "Which outcomes may share a commit: all, or simple ones only.",
            plain=True,
            modes=_BATCHING,
        ),
    ] = BatchPolicy.FULL
    commit_fallback: Annotated[
        Fallback,
        _spec(
            choice(Fallback),
            "How a batch that could not be stored is divided: one by one, or by halves.",
            plain=True,
            modes=_BATCHING,
        ),
    ] = Fallback.PER_JOB
    listen: Annotated[
        Address | None,
        _spec(
            listen_address(),
            "Where requests over HTTP are taken.",
            modes=_WITH_DATABASE,
            default_is=f"{LISTEN} in the modes standalone and server, else off",
        ),
    ] = None
    api_key: Annotated[
        str | None,
        _spec(
            secret_word(API_KEY_CHARS_MIN),
            "What clients of the jobs API have to show.",
            modes=_WITH_DATABASE,
            default_is="none: programs on this host need not show any",
        ),
    ] = None
    agent_secret: Annotated[
        str | None,
        _spec(
            secret_word(SECRET_CHARS_MIN),
            "What signs the tokens of agents; the same for all servers of a database.",
            modes=_WITH_DATABASE,
            default_is="one made with the embedded PostgreSQL, else none",
        ),
    ] = None
    base_internal_url: Annotated[
        str | None,
        _spec(
            server_address(),
            "The server that an agent asks, instead of a database.",
            plain=True,
            modes=_AGENTS,
            default_is="none",
        ),
    ] = None
    agent_token: Annotated[
        str | None,
        _spec(
            secret_word(SECRET_CHARS_MIN, TOKEN_CHARS_MAX),
            "What an agent shows to the server, as `trioworker token create` prints it.",
            plain=True,
            modes=_AGENTS,
            default_is="none",
        ),
    ] = None
    tags: Annotated[
        Tags,
        _spec(
            tag_list(),
            "Which jobs this worker takes, those of a higher rank first; dedicated:PATH for a"
            " script of its own.",
            modes=_WORKING_WITH_DATABASE,
        ),
    ] = unranked(DEFAULT_TAG)
    concurrency: Annotated[
        int, _spec(whole(1, 10_000), "How many jobs run at once.", modes=_WORKING)
    ] = 100
    start_within_s: Annotated[
        float,
        _spec(
            seconds(),
            "Claim only what is expected to start within this time.",
            modes=_WORKING,
        ),
    ] = 1.0
    poll_s: Annotated[
        float,
        _spec(seconds(), "The longest pause between looks for jobs when idle.", modes=_WORKING),
    ] = 1.0
    heartbeat_s: Annotated[
        float, _spec(seconds(), "How often the lease is renewed.", modes=_WORKING)
    ] = 5.0
    lease_s: Annotated[
        float,
        _spec(
            seconds(),
            "How long a silent worker keeps its jobs; more than twice the heartbeat.",
            modes=_WORKING,
        ),
    ] = 30.0
    sweep_s: Annotated[
        float,
        _spec(seconds(), "How often jobs of dead workers are looked for.", modes=_WITH_DATABASE),
    ] = 5.0
    retention_days: Annotated[
        float, _spec(days(), "How long ended jobs are kept; 0 for ever.", modes=_WITH_DATABASE)
    ] = 0.0
    reaped_max: Annotated[
        int, _spec(whole(0, 1_000), "How many workers a job may take down before it fails.")
    ] = 3
    grace_s: Annotated[
        float,
        _spec(
            seconds(zero=True), "What running jobs are left to finish after a stop.", modes=_WORKING
        ),
    ] = 30.0
    flush_s: Annotated[
        float,
        _spec(seconds(zero=True), "What results are left to be stored after that.", modes=_WORKING),
    ] = 10.0
    scripts_dir: Annotated[
        Path | None,
        _spec(
            folder(),
            "Where the paths of script jobs begin.",
            default_is="the current folder",
            modes=_WORKING,
        ),
    ] = None
    cache_dir: Annotated[
        Path | None,
        _spec(
            folder(),
            "Where deployed scripts and their packages are kept.",
            default_is="`trioworker` in the user's cache folder",
            modes=_WORKING,
        ),
    ] = None
    dedicated_window: Annotated[
        int,
        _spec(
            whole(1, SIZE_MAX),
            "How many jobs may be under way to one dedicated process.",
            modes=_WORKING,
        ),
    ] = 100
    init_script: Annotated[
        str | None,
        _spec(
            text(),
            "A script in the scripts folder to be run before the first pull.",
            default_is="none",
            modes=_WORKING,
        ),
    ] = None
    periodic_script: Annotated[
        str | None,
        _spec(
            text(),
            "A script in the scripts folder to be run every --periodic-s, beside the jobs.",
            default_is="none",
            modes=_WORKING,
        ),
    ] = None
    periodic_s: Annotated[
        float, _spec(seconds(), "How often the periodic script is run.", modes=_WORKING)
    ] = 60.0
    unknown_functions: Annotated[
        UnknownFunctions,
        _spec(
            words(*typing.get_args(UnknownFunctions)),
            "A job of an unknown function fails, or is left to a worker that knows it.",
            modes=_WORKING,
        ),
    ] = "fail"
    worker_name: Annotated[
        str | None,
        _spec(
            text(),
            "What this worker is called in lists.",
            default_is="the host's name",
            modes=_WORKING,
        ),
    ] = None
    log_level: Annotated[
        LogLevel, _spec(choice(LogLevel), "The least that is worth a line in the log.")
    ] = LogLevel.INFO
    log_format: Annotated[
        LogFormat,
        _spec(choice(LogFormat), "The log's lines; auto is console on a terminal, else json."),
    ] = LogFormat.AUTO
    log_flush_s: Annotated[
        float,
        _spec(
            seconds(),
            "How often is stored what running jobs have written and told.",
            modes=_WORKING,
        ),
    ] = 1.0
    log_statements: Annotated[
        bool, _spec(switch(), "Log every statement and how many jobs it claims or stores.")
    ] = False

    @property
    def address(self) -> Address | None:
        """Where to take requests; None for nowhere."""
        if self.listen is None:
            return LISTEN if self.mode.serves else None
        return self.listen if self.listen.host else None


def _table() -> dict[str, Setting]:
    hints = typing.get_type_hints(Settings, include_extras=True)
    return {
        field.name: _setting(field.name, field.default, hints[field.name].__metadata__[0])
        for field in msgspec.structs.fields(Settings)
    }


def _setting(name: str, default: object, spec: _Spec) -> Setting:
    return Setting(
        name=name,
        variable=name.upper() if spec.plain else f"TRIOWORKER_{name.upper()}",
        flag="--" + name.replace("_", "-"),
        kind=spec.kind,
        default=default,
        default_is=spec.default_is or _shown(default),
        help=spec.help,
        modes=spec.modes,
        elsewhere=spec.elsewhere,
    )


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    return f"{default:g}" if isinstance(default, float) else str(default)


TABLE: Final = _table()
