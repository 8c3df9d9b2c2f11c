"""The house rules that no linter knows, as pure functions from one file to its violations.

Rule of this file: a check sees one `Source`, decides by its path whether it applies, and says for
each violation how to mend it. Only `read_tree` and `main` touch the disk.
`python -m tests.house.tidy` prints what it finds and exits 1 when that is anything.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from tests.house import sqlshape

ROOT: Final = Path(__file__).parents[2]
TREES: Final = ("src", "sim", "tests", "examples", "docs", ".ci")
NOT_OURS: Final = frozenset({"__pycache__", "node_modules"})
HOUSE: Final = "tests/house/"  # these files name what they forbid

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 50
TEST_FUNCTION_LINES_MAX: Final = 60  # a scenario reads better whole


@dataclass(frozen=True)
class Source:
    """One text file; `path` is relative to the repository, with forward slashes."""

    path: str
    text: str

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of a Python file; none of any other file."""
        return list(ast.walk(ast.parse(self.text, self.path))) if self.is_python else []

    @property
    def is_python(self) -> bool:
        """Whether the checks on syntax apply."""
        return self.path.endswith(".py")


class Violation(NamedTuple):
    """Where, which rule, and how to mend it."""

    path: str
    line: int
    rule: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.mend}"


Check = Callable[[Source], Iterator[Violation]]


# ---- size and words -------------------------------------------------------------------------


def file_length(source: Source) -> Iterator[Violation]:
    """Python files are at most `FILE_LINES_MAX` lines long."""
    lines = len(source.text.splitlines())
    if source.is_python and lines > FILE_LINES_MAX:
        mend = f"{lines} lines, at most {FILE_LINES_MAX}; find the seam and make two files"
        yield Violation(source.path, FILE_LINES_MAX + 1, "file-length", mend)


def function_length(source: Source) -> Iterator[Violation]:
    """Functions are at most `FUNCTION_LINES_MAX` lines long, their docstring not counted."""
    in_tests = source.path.startswith("tests/")
    lines_max = TEST_FUNCTION_LINES_MAX if in_tests else FUNCTION_LINES_MAX
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _lines(node) - sum(_lines(doc) for doc in _docstrings([node]))
            if lines > lines_max:
                mend = f"{node.name} has {lines} lines, at most {lines_max}; name its steps"
                yield Violation(source.path, node.lineno, "function-length", mend)


def module_docstring(source: Source) -> Iterator[Violation]:
    """Each source file opens with what it is for and the rule it keeps."""
    if (
        source.is_python
        and source.path.startswith("src/")
        and not ast.get_docstring(_module(source))
    ):
        mend = "open the file with a docstring that states its purpose and its rule"
        yield Violation(source.path, 1, "module-docstring", mend)


class Word(NamedTuple):
    """A pattern that no line may contain."""

    rule: str
    pattern: re.Pattern[str]
    mend: str


WORDS: Final = (
    Word(
        "leftover",
        re.compile(r"\b(TODO|FIXME|XXX)\b"),
        "do it now, or open an issue and take the mark out",
    ),
    Word(
        "machine-path",
        re.compile(r"(?<![\w.~$}-])/(work|home|root)/"),
        "this path exists on one machine only; make it relative or a setting",
    ),
    Word(
        "registry-host",
        re.compile(r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|index-url)\b"),
        "which registry is used is the machine's affair; leave it to the client's own settings",
    ),
    Word(
        "unexplained-ignore",
        re.compile(r"#\s*(noqa(:[A-Z0-9, ]+)?|type: ignore(\[[^]]*\])?|pyright: ignore.*\])\s*$"),
        "say why after it: `# noqa: X123 - reason` or `# type: ignore[code]  # reason`",
    ),
)


def words(source: Source) -> Iterator[Violation]:
    """No line of any text file contains one of `WORDS`."""
    if source.path.startswith(HOUSE):
        return
    for number, line in enumerate(source.text.splitlines(), start=1):
        for word in WORDS:
            if word.pattern.search(line):
                yield Violation(source.path, number, word.rule, word.mend)


# ---- names ----------------------------------------------------------------------------------


class Ban(NamedTuple):
    """Dotted names that code `within` some folders may not use, `save` for a few files."""

    rule: str
    names: re.Pattern[str]
    within: tuple[str, ...]
    mend: str
    save: tuple[str, ...] = ()


IDS: Final = "src/trioworker/ids.py"  # the one maker of ids: a UUIDv7 is a wall clock and chance
REAL: Final = "sim/real/audit.py"  # a real server dates its commits by the machine's clock
PRODUCT: Final = ("src/", "sim/")
SIMULATED: Final = tuple(f"src/trioworker/{p}/" for p in ("worker", "store", "model", "runners"))
BANS: Final = (
    Ban(
        "wall-clock",
        re.compile(
            r"time\.(time|time_ns|localtime|gmtime|ctime)"
            r"|datetime\.(datetime\.(now|utcnow|today)|date\.today)"
        ),
        PRODUCT,
        "take `now` as an argument, or let the database say now()",
        save=(IDS, REAL),
    ),
    Ban(
        "own-clock",
        re.compile(r"time\.(monotonic|perf_counter|process_time|thread_time)(_ns)?"),
        SIMULATED,
        "read trio.current_time(): the simulator moves that clock",
    ),
    Ban(
        "global-random",
        re.compile(r"random\.(?!Random$)\w+"),
        (*PRODUCT, "tests/", "examples/"),
        "use the random.Random that was handed in",
    ),
    Ban(
        "unseeded-id",
        re.compile(r"uuid\.uuid[147]|os\.urandom|secrets\.\w+"),
        PRODUCT,
        "take ids from trioworker.ids, made by the caller's clock and rng",
        save=(IDS,),
    ),
)


def banned_names(source: Source) -> Iterator[Violation]:
    """No use of one of `BANS`, called or not, under whatever name it was imported."""
    bans = [b for b in BANS if source.path.startswith(b.within) and source.path not in b.save]
    names = _imported_names(source.nodes) if bans else {}
    for node in source.nodes if bans else ():
        dotted = _dotted(node, names)
        for ban in bans:
            if isinstance(node, ast.Name | ast.Attribute) and ban.names.fullmatch(dotted):
                yield Violation(source.path, node.lineno, ban.rule, f"{dotted}: {ban.mend}")


def _imported_names(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """What each imported name of a file stands for: {"monotonic": "time.monotonic", …}."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {a.asname: a.name for a in node.names if a.asname}
            names |= {n: n for a in node.names if not a.asname for n in [a.name.split(".")[0]]}
        elif isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    """`a.b.c` with `a` resolved through the imports; empty when it is not such a chain."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


# ---- SQL ------------------------------------------------------------------------------------

NO_SQL: Final = tuple(f"src/trioworker/{p}/" for p in ("store", "worker", "model"))
QUERIES: Final = "src/trioworker/store/postgres/queries/"


def built_sql(source: Source) -> Iterator[Violation]:
    """No SQL is put together from strings anywhere in the product."""
    for node in source.nodes if source.path.startswith("src/") else ():
        if isinstance(node, ast.expr) and sqlshape.is_sql(sqlshape.built_text(node)):
            mend = "pass values as parameters of a named query in store/postgres/queries"
            yield Violation(source.path, node.lineno, "built-sql", mend)


def sql_literal(source: Source) -> Iterator[Violation]:
    """Store, worker and model hold no SQL text at all."""
    nodes = source.nodes if source.path.startswith(NO_SQL) else []
    docstrings = {id(doc.value) for doc in _docstrings(nodes)}
    for node in nodes:
        if (
            isinstance(node, ast.Constant)
            and id(node) not in docstrings
            and sqlshape.is_sql(node.value)
        ):
            mend = "move the statement to a named query in store/postgres/queries"
            yield Violation(source.path, node.lineno, "sql-literal", mend)


def sql_headers(source: Source) -> Iterator[Violation]:
    """Each statement under queries/ has its header, and each header one statement."""
    if source.path.startswith(QUERIES) and source.path.endswith(".sql"):
        for line, mend in sqlshape.header_faults(source.text):
            yield Violation(source.path, line, "sql-header", mend)


# ---- all together ---------------------------------------------------------------------------

CHECKS: Final[tuple[Check, ...]] = (
    file_length,
    function_length,
    module_docstring,
    words,
    banned_names,
    built_sql,
    sql_literal,
    sql_headers,
)


def violations(sources: Iterable[Source]) -> list[Violation]:
    """Everything that is wrong, sorted by place, each thing once."""
    return sorted({found for source in sources for check in CHECKS for found in check(source)})


def read_tree(root: Path = ROOT) -> Iterator[Source]:
    """Every text file of the repository at `root`; other files are left out."""
    files = [f for f in root.iterdir() if f.is_file()]
    files += [f for tree in TREES for f in (root / tree).rglob("*") if f.is_file()]
    for file in files:
        path = file.relative_to(root)
        if NOT_OURS.isdisjoint(path.parts):
            try:
                yield Source(path.as_posix(), file.read_text(encoding="utf-8"))
            except UnicodeDecodeError:
                continue


def main() -> int:
    """Print what is wrong; 0 when nothing is."""
    found = violations(read_tree())
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _module(source: Source) -> ast.Module:
    module = source.nodes[0]
    assert isinstance(module, ast.Module)
    return module


def _docstrings(nodes: Iterable[ast.AST]) -> Iterator[ast.Expr]:
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first


if __name__ == "__main__":
    sys.exit(main())
