"""How packages are installed: the commands of pip and npm, and what they say when they cannot.

Rule of this file: it fills a folder that is its caller's alone, and decides nothing about when.
Whatever the machine says about its registries (`PIP_…`, `npm_config_…`, their files) holds here.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import trio

from trioworker.runners.processes import end_group
from trioworker.runners.raised import NotRunnable, tail

OUTPUT_BYTES_MAX: Final = 1024 * 1024
VENV: Final = "venv"

_PIP_BLAMES: Final = (
    re.compile(r"ERROR: No matching distribution found for (?P<name>.+)"),
    re.compile(r"ERROR: Invalid requirement: '?(?P<name>[^':]+)'?"),
    re.compile(r"ERROR: Could not find a version that satisfies the requirement (?P<name>\S+)"),
)
_NPM_SAYS: Final = re.compile(
    r"^npm (?:error|ERR!) (?!code |errno |syscall |A complete log)(.+)$", re.MULTILINE
)
_PIP_SAYS: Final = re.compile(r"^ERROR: (.+)$", re.MULTILINE)


class Wanted(NamedTuple):
    """What is to be installed; with a `lock` just that, else what fits the requirements best."""

    requirements: tuple[str, ...]
    lock: tuple[str, ...] | None = None


class Installer(Protocol):
    """One package manager."""

    async def key(self) -> str:
        """What packages depend on besides what is wanted: the interpreter and the machine."""
        ...

    async def install(self, folder: Path, wanted: Wanted) -> tuple[tuple[str, ...], str]:
        """Fill the empty folder; the lock, and what was printed. Raises `NotRunnable`."""
        ...

    def program(self, folder: Path) -> str | None:
        """What runs scripts there instead of their usual interpreter; None when it is the same."""
        ...


class Pip:
    """pip, in an environment of its own."""

    async def key(self) -> str:
        """See `Installer`."""
        return f"{sys.implementation.cache_tag} {sysconfig.get_platform()}"

    async def install(self, folder: Path, wanted: Wanted) -> tuple[tuple[str, ...], str]:
        """See `Installer`."""
        # The worker's own pip, if it has one, spares each environment a copy of it.
        own = find_spec("pip") is not None
        made = await run(
            (sys.executable, "-m", "venv", *(("--without-pip",) if own else ()), VENV), folder
        )
        if made.status != 0:
            raise NotRunnable("RequirementsFailed", f"no venv can be made: {tail(made.output)}")
        python = str(folder / VENV / "bin" / "python")
        pip = (sys.executable, "-m", "pip", "--python", python) if own else (python, "-m", "pip")
        names = wanted.requirements if wanted.lock is None else wanted.lock
        options = ("--no-input",) if wanted.lock is None else ("--no-input", "--no-deps")
        done = await run((*pip, "install", *options, *names), folder)
        if done.status != 0:
            raise _cannot(wanted, *_pip_blames(done.output))
        frozen = await run((*pip, "freeze", "--exclude", "pip"), folder, warns=False)
        return wanted.lock or tuple(sorted(frozen.output.splitlines())), done.output

    def program(self, folder: Path) -> str | None:
        """See `Installer`."""
        return str(folder / VENV / "bin" / "python")


class Npm:
    """npm, in a folder that the scripts then lie below."""

    async def key(self) -> str:
        """See `Installer`. What is compiled depends on the version of node."""
        node = shutil.which("node") or shutil.which("bun")
        version = "" if node is None else (await run((node, "--version"), Path.cwd())).output
        return f"{version.strip()} {sys.platform} {platform.machine()}"

    async def install(self, folder: Path, wanted: Wanted) -> tuple[tuple[str, ...], str]:
        """See `Installer`."""
        npm = shutil.which("npm")
        if npm is None:
            raise NotRunnable("RequirementsFailed", "npm is not installed on this worker")
        package = {"private": True, "overrides": _overrides(wanted)}
        (folder / "package.json").write_bytes(msgspec.json.encode(package))
        quiet = ("--no-audit", "--no-fund", "--no-progress", "--no-update-notifier")
        done = await run(
            (npm, "install", *quiet, "--install-links", "--save-exact", *_exact(wanted)), folder
        )
        if done.status != 0:
            raise _cannot(wanted, *_npm_blames(wanted, done.output))
        listed = await run((npm, "ls", "--all", "--json"), folder, warns=False)
        return wanted.lock or _npm_lock(listed.output, wanted), done.output

    def program(self, folder: Path) -> str | None:  # noqa: ARG002 - node finds them by itself
        """See `Installer`."""
        return None


INSTALLERS: Final[Mapping[str, Installer]] = {"python": Pip(), "node": Npm(), "bun": Npm()}
"""By the language of a script."""


class Ran(NamedTuple):
    """How a command has ended, and what it has printed."""

    status: int
    output: str


async def run(command: Sequence[str], folder: Path, *, warns: bool = True) -> Ran:
    """Run a command to its end; cancelled, nothing of it is left. Its warnings are output if asked.

    Raises `NotRunnable` when it cannot be started.
    """
    try:
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if warns else subprocess.DEVNULL,
            cwd=folder,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        message = f"{command[0]} cannot be started: {error}"
        raise NotRunnable("RequirementsFailed", message) from None
    assert process.stdout is not None
    output = b""
    try:
        async with process.stdout:
            async for chunk in process.stdout:
                output = (output + chunk)[-OUTPUT_BYTES_MAX:]
        return Ran(await process.wait(), output.decode("utf-8", "replace"))
    finally:
        await end_group(process)


def _environment() -> dict[str, str]:
    """Ours, without what would let packages of the worker's into an environment of a script's."""
    return {n: v for n, v in os.environ.items() if n not in {"PYTHONPATH", "PYTHONHOME"}}


def _cannot(wanted: Wanted, blamed: Sequence[str], why: str) -> NotRunnable:
    """The failure that names who is to blame: one, or all when nobody can tell."""
    names = blamed or (wanted.requirements if wanted.lock is None else wanted.lock)
    one = len(names) == 1
    told = ", ".join(f"'{name}'" for name in names)
    what = f"requirement{'' if one else 's'} {told} cannot be installed"
    return NotRunnable("RequirementsFailed", f"{what}: {why}")


def _pip_blames(output: str) -> tuple[Sequence[str], str]:
    for pattern in _PIP_BLAMES:
        if found := pattern.search(output):
            said = _PIP_SAYS.findall(output)
            return (found["name"].strip(),), said[0] if said else found[0]
    said = _PIP_SAYS.findall(output)
    return (), said[-1] if said else tail(output)


def _npm_blames(wanted: Wanted, output: str) -> tuple[Sequence[str], str]:
    said = _NPM_SAYS.findall(output)
    named = [one for one in wanted.requirements if any(name_of(one) in line for line in said)]
    return (named if len(named) == 1 else ()), said[0] if said else tail(output)


def name_of(requirement: str) -> str:
    """The name in `name@range`; names may begin with @, too."""
    at = requirement.find("@", 1)
    return requirement if at < 0 else requirement[:at]


def _exact(wanted: Wanted) -> Sequence[str]:
    """The requirements, those that the lock knows at its versions."""
    locked = {name_of(one): one for one in wanted.lock or ()}
    return [locked.get(name_of(one), one) for one in wanted.requirements]


def _overrides(wanted: Wanted) -> Mapping[str, str]:
    """The versions of what the requirements require, as far as there is one of each."""
    direct = {name_of(one) for one in wanted.requirements}
    versions: dict[str, set[str]] = {}
    for one in wanted.lock or ():
        name = name_of(one)
        versions.setdefault(name, set()).add(one[len(name) + 1 :])
    return {
        name: version
        for name, (version, *others) in versions.items()
        if name not in direct and not others
    }


def _npm_lock(listed: str, wanted: Wanted) -> tuple[str, ...]:
    """Name and version of everything in the tree; what has another source as it was asked for."""
    asked = {name_of(one): one for one in wanted.requirements}
    found: set[str] = set()

    def walk(tree: Mapping[str, Any]) -> None:
        for name, package in tree.get("dependencies", {}).items():
            if not isinstance(package, dict) or "version" not in package:
                continue
            elsewhere = not str(package.get("resolved", "http")).startswith("http")
            exact = f"{name}@{package['version']}"
            found.add(asked.get(name, exact) if elsewhere else exact)
            walk(package)

    try:
        walk(msgspec.json.decode(listed, type=dict[str, Any]))
    except msgspec.DecodeError:
        raise NotRunnable(
            "RequirementsFailed", f"npm does not say what it installed: {tail(listed)}"
        ) from None
    return tuple(sorted(found))
