"""The pages of documentation as their readers see them: headings, links, tables, code."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]

_FENCE: Final = re.compile(r"(?ms)^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$")
_HEADING: Final = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_SPAN: Final = re.compile(r"`([^`\n]+)`")
_RULE: Final = re.compile(r"\|(-+\|)+")


class Block(NamedTuple):
    """A block of code; the language is empty where the page names none."""

    language: str
    text: str


class Table(NamedTuple):
    """A table: the words of its head, and the cells of its rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Page:
    """One page of markdown."""

    path: Path

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text("utf-8")

    @cached_property
    def prose(self) -> str:
        """What is not in a fence."""
        return _FENCE.sub("", self.text)

    @property
    def anchors(self) -> Sequence[str]:
        """What a link can point at: GitHub's names for the headings, repeated ones numbered."""
        found: list[str] = []
        for heading in _HEADING.findall(self.prose):
            name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            found.append(name if name not in found else f"{name}-{found.count(name)}")
        return found

    @property
    def links(self) -> Sequence[str]:
        """Where its links lead."""
        return [match["target"] for match in _LINK.finditer(_SPAN.sub("", self.prose))]

    @property
    def spans(self) -> Sequence[str]:
        """The code within its lines."""
        return _SPAN.findall(self.prose)

    @property
    def blocks(self) -> Iterator[Block]:
        """Fenced code, then indented code line by line."""
        yield from (Block(m["language"], m["text"]) for m in _FENCE.finditer(self.text))
        for line in self.prose.splitlines():
            if line.startswith("    "):
                yield Block("", line.strip())

    @property
    def tables(self) -> Iterator[Table]:
        """Its tables. A line of one that is not well-formed is an `AssertionError`."""
        lines = self.prose.splitlines()
        for number, line in enumerate(lines):
            if _RULE.fullmatch(line):
                body = lines[number + 1 :]
                end = next((at for at, row in enumerate(body) if not row.startswith("|")), None)
                head = self._cells(lines[number - 1], line.count("|"))
                yield Table(head, [self._cells(row, line.count("|")) for row in body[:end]])

    def section(self, heading: str) -> str:
        """The text between this heading and the next one."""
        after = self.prose.split(f" {heading}\n", 1)[1]
        return re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0]

    def _cells(self, row: str, bars: int) -> Sequence[str]:
        well_formed = row.startswith("|") and row.endswith("|") and row.count("|") == bars
        assert well_formed, f"{self}: this row is not like the others: {row}"
        return [cell.strip() for cell in row.strip("|").split("|")]


def page(name: str) -> Page:
    """The page at `name`, from the root of the repository."""
    return Page(ROOT / name)


PAGES: Final = [
    Page(path)
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
    )
]
"""Every page; a new one is found by itself."""
