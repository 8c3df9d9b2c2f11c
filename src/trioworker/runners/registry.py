"""Which runner runs which kind of job."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from trioworker.app import App
from trioworker.model.script import DEPENDENCIES
from trioworker.runners.dedicated import SCRIPTS_MAX
from trioworker.runners.function import THREADS_MAX, FunctionRunner, Unknown
from trioworker.runners.host_group import HostLimits
from trioworker.runners.immediate import flow_runner, identity_runner, noop_runner
from trioworker.runners.protocol import Runner
from trioworker.runners.script import ScriptRunner
from trioworker.runners.scripts import Finder, Scripts
from trioworker.runners.shelf import Shelf


def build_runners(
    app: App | None,
    *,
    scripts_dir: Path,
    rng: Random,
    unknown: Unknown = "fail",
    threads: int = THREADS_MAX,
    processes: int | None = None,
    concurrency: int | None = None,
    dedicated: HostLimits = HostLimits(),  # noqa: B008 - frozen
    dedicated_scripts_max: int = SCRIPTS_MAX,
    deployed: Shelf | None = None,
) -> Mapping[str, Runner]:
    """One runner for each kind of job, not yet open; None for `app` means that it has no jobs.

    `scripts_dir` holds all scripts that jobs may name. `rng` spreads out restarts. `unknown` says
    whether jobs whose function `app` does not have "fail" or are "leave"-d to other workers.
    `threads` and `processes` bound the jobs in threads and processes (default: one per CPU),
    `dedicated` and `dedicated_scripts_max` the processes of dedicated scripts. `concurrency` is how
    many jobs the worker runs at once; chunks do not wait for more. Without a shelf of `deployed`
    scripts there are those in the folder only.
    """
    scripts: Finder = Scripts(scripts_dir) if deployed is None else deployed.scripts
    runners: dict[str, Runner] = {} if deployed is None else {DEPENDENCIES: deployed.dependencies}
    return runners | {
        "function": FunctionRunner(
            app or App(),
            rng,
            unknown=unknown,
            threads=threads,
            processes=processes,
            concurrency=concurrency,
        ),
        "script": ScriptRunner(scripts, rng, limits=dedicated, scripts_max=dedicated_scripts_max),
        "noop": noop_runner(),
        "identity": identity_runner(),
        "flow": flow_runner(),
    }


@asynccontextmanager
async def open_runners(runners: Mapping[str, Runner]) -> AsyncIterator[None]:
    """Open all `runners` for as long as this context lasts."""
    async with AsyncExitStack() as stack:
        for runner in runners.values():
            await stack.enter_async_context(runner.open())
        yield
