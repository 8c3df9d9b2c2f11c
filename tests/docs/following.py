"""Pages that are followed to the letter: their files are saved, their commands run, in order."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.docs.pages import Page

PATIENCE_S: Final = 60
BLOCK: Final = re.compile(r"```(\w+)(?: ([^\n]*))?\n(.*?)```", re.DOTALL)
TITLE: Final = re.compile(r"title=(\S+)")


class Step(NamedTuple):
    """A fenced block: its language, the words after it, and what it holds."""

    language: str
    words: str
    text: str


def steps(page: Page) -> Iterator[Step]:
    """The blocks of a page."""
    return (Step(*found) for found in BLOCK.findall(page.text))


def is_followed(page: Page) -> bool:
    """Whether a page has a file to save."""
    return any(TITLE.fullmatch(step.words) for step in steps(page))


def save(page: Page, folder: Path) -> None:
    """Save its files."""
    for step in steps(page):
        if title := TITLE.fullmatch(step.words):
            (folder / title[1]).write_text(step.text, "utf-8")


def follow(page: Page, folder: Path, variables: Mapping[str, str]) -> None:
    """Do as the page says, in an empty folder.

    A block `python title=FILE` is saved, `sh` is run and must end well (`sh fails` must not), and
    each line of `text` must be found in what the commands before it printed.
    """
    printed = ""
    for step in steps(page):
        if title := TITLE.fullmatch(step.words):
            (folder / title[1]).write_text(step.text, "utf-8")
        elif step.language == "text":
            for line in step.text.splitlines():
                assert line in printed, f"{page}: not printed: {line}\n{printed}"
        elif step.language == "sh" and step.words != "not run":
            ended = run_block(step.text, folder, variables)
            said = ended.stdout + ended.stderr
            assert (ended.returncode != 0) == (step.words == "fails"), f"{page}: {step.text}{said}"
            assert "Traceback" not in ended.stderr, said
            printed = said


def run_block(
    text: str, folder: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a block of shell as a reader would, who has the environment activated."""
    programs = Path(sys.executable).parent
    clean = {name: value for name, value in os.environ.items() if name != "MODE"}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=clean | {"PATH": path} | dict(variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
