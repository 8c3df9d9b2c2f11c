"""What SQL looks like: to `tidy`, so that it can be found in Python and checked in .sql files.

Rule of this file: shapes, not grammar. A string counts as SQL when it begins the way a statement
begins and prose does not: `select id, path` but not "select one of", `update job set` but not
"update the schema".
"""

import ast
import re
from collections.abc import Iterator
from typing import Final

NAME = r'[\w."%{}$:]+'  # also what stands for a name in a format string
OBJECT = (
    r"table|index|schema|function|procedure|type|view|materialized|sequence|role|user|database"
    r"|extension|trigger|domain|policy"
)
STATEMENT: Final = re.compile(
    rf"""(?: \s | -- [^\n]* \n | \( )* (?:
        select \s+ (?: distinct\b | [*\d'$(] | {NAME} \s* (?: [,(] | \b(?:from|as)\b ) )
      | insert \s+ into \s+ {NAME}
      | update \s+ (?: only \s+ )? {NAME} \s+ (?: (?: as \s+ )? \w+ \s+ )? set \b
      | delete \s+ from \s+ {NAME}
      | merge \s+ into \s+ {NAME}
      | with \s+ (?: recursive \s+ )? \w+ \s* (?: \([^)]*\) \s* )?
            as \s* (?: (?: not \s+ )? materialized \s* )? \(
      | (?: create | alter | drop ) \s+
            (?: or \s+ replace \s+ | temp \w* \s+ | unlogged \s+ | unique \s+ )*
            (?: {OBJECT} ) \s+ {NAME}
      | truncate \s+ (?: table \s+ {NAME} | [\w"{{}}%]+ \. [\w"{{}}%]+ )
      | copy \s+ {NAME} \s* (?: \([^)]*\) \s* )? (?: from | to ) \s+ std
      | lock \s+ table \b
      | (?: grant | revoke ) \s+ [\w\s,]+? \s on \s
      | set \s+ (?: local | session ) \s+ {NAME}
      | explain \s* (?: \( | analyze\b | select\b )
      | (?: listen | unlisten ) \s+ {NAME} \s* ;? \s* $
      | notify \s+ {NAME} \s* (?: , | ;? \s* $ )
    )""",  # noqa: S608 - it finds statements, it is none
    re.VERBOSE | re.IGNORECASE,
)

HEADER: Final = re.compile(
    r"-- name: [a-z][a-z0-9_]*\n"
    r"-- rows: (?:one|many|none)\n"
    r"-- does: \S.*\n(?:--   .*\n)*"
    r"-- locks: \S.*\n(?:--   .*\n)*"
)
HEADER_FORM: Final = "-- name: x / -- rows: one|many|none / -- does: … / -- locks: …"
SECTION: Final = re.compile(r"^(?=-- name:)", re.MULTILINE)
QUIET: Final = re.compile(r"--[^\n]*|'(?:[^']|'')*'|(\$\w*\$).*?\1", re.DOTALL)


def is_sql(text: object) -> bool:
    """Whether `text` is a string that begins as a statement does; `{}` and `%s` count as names."""
    return isinstance(text, str) and STATEMENT.match(text) is not None


def built_text(node: ast.expr) -> str | None:
    """The literal text of a string that `node` builds, holes filled; None when it builds none."""
    match node:
        case ast.JoinedStr(values=parts):
            return "".join(_literal(part) or "{}" for part in parts)
        case ast.BinOp(left=left, op=ast.Mod()):
            return _literal(left)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            start = _literal(left) or built_text(left)
            return None if start is None else start + (_literal(right) or "{}")
        case ast.Call(func=ast.Attribute(value=template, attr="format")):
            return _literal(template)
        case _:
            return None


def header_faults(text: str) -> Iterator[tuple[int, str]]:
    """(line, how to mend it) for each statement of a .sql file whose header is not as agreed."""
    line = 1
    for section in SECTION.split(text):
        header = HEADER.match(section)
        if header is None and section.strip():
            yield line, f"begin each statement with {HEADER_FORM}"
        elif header is not None:
            statement = QUIET.sub("", section[header.end() :]).strip()
            if not statement.removesuffix(";").strip():
                yield line, "the header has no statement under it"
            elif ";" in statement.removesuffix(";"):
                yield line, "a second statement; give it a header of its own"
        line += section.count("\n")


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
