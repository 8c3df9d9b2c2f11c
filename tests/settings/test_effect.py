"""What is set arrives where it is used."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import psycopg
import pytest

from trioworker.cli.work import worker_config
from trioworker.model.batching import BatchPolicy, Fallback, Mode
from trioworker.model.tags import Tags
from trioworker.settings import LogLevel, Settings
from trioworker.worker.config import WorkerConfig

OTHER: Final = Settings(
    mode=Mode.AGENT_BATCH,
    batch_pull_size=7,
    batch_commit_size=8,
    batch_policy=BatchPolicy.SIMPLE,
    commit_fallback=Fallback.BISECT,
    tags=Tags(("mail", "bulk"), (5, 0)),
    concurrency=9,
    start_within_s=0.2,
    poll_s=0.3,
    heartbeat_s=4.0,
    lease_s=15.0,
    sweep_s=6.0,
    reaped_max=2,
    grace_s=17.0,
    flush_s=18.0,
    log_flush_s=19.0,
    worker_name="left-hand",
    log_level=LogLevel.DEBUG,
)


def test_a_worker_is_told_what_was_set() -> None:
    """Every setting that a worker knows by the same name has the value that was given."""
    config = worker_config(OTHER, drain=True)
    shared = {*Settings.__struct_fields__} & {*WorkerConfig.__struct_fields__}

    assert {name: getattr(config, name) for name in shared} == {
        name: getattr(OTHER, name) for name in shared
    }
    assert (config.sizes.pull, config.sizes.commit) == (7, 8)
    assert (config.policy, config.fallback) == (BatchPolicy.SIMPLE, Fallback.BISECT)
    assert (config.name, config.report_jobs, config.drain) == ("left-hand", True, True)


def test_a_worker_without_batches_is_told_of_none() -> None:
    """Outside agent-batch the sizes are one, whatever stands in the settings."""
    config = worker_config(msgspec.structs.replace(OTHER, mode=Mode.WORKER), drain=False)

    assert (config.sizes.pull, config.sizes.commit) == (1, 1)


@pytest.mark.parametrize("command", ["jobs list", "workers", "enqueue greet"])
def test_a_command_waits_as_long_as_it_was_told(
    database_url: str, tmp_path: Path, command: str
) -> None:
    """`--command-timeout-s` holds for every command that takes it, not for the worker alone."""
    with psycopg.connect(database_url) as other:
        other.execute("lock table trioworker.job, trioworker.worker in access exclusive mode")
        done = subprocess.run(
            [sys.executable, "-m", "trioworker", *command.split(), "--command-timeout-s", "0.2"],
            env={"DATABASE_URL": database_url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=25,  # the default of the setting is 30
            check=False,
        )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "trioworker: the database did not answer in time\n"
