"""Named SQL statements: read once from queries/*.sql, checked, and addressed by name only.

Every file is one statement under a header of four lines (name, rows, does, locks). The text is
never put together from pieces: the one thing that changes is the schema's name, replaced at load
for those who set another than `trioworker`.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final, Literal, cast

import msgspec

from trioworker.errors import SettingsError

Rows = Literal["one", "many", "none"]
DEFAULT_SCHEMA: Final = "trioworker"

_HEADER: Final = re.compile(
    r"-- name: (?P<name>\w+)\n"
    r"-- rows: (?P<rows>one|many|none)\n"
    r"-- does: (?P<does>.+)\n"
    r"-- locks: (?P<locks>.+)\n"
)
_SCHEMA_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")


class Statement(msgspec.Struct, frozen=True):
    """One named statement; `rows` says how many rows it answers with."""

    name: str
    rows: Rows
    does: str
    locks: str
    sql: str


def check_schema_name(schema: str) -> str:
    """Return `schema` when it can be used as it stands; raises `SettingsError` otherwise."""
    if not _SCHEMA_NAME.fullmatch(schema):
        raise SettingsError(
            f"the schema name {schema!r} will not do: use lower-case letters, digits and _,"
            " at most 63, not beginning with a digit or pg_"
        )
    return schema


def in_schema(sql: str, schema: str) -> str:
    """`sql`, written for the schema `trioworker`, for `schema` instead.

    The name is quoted, because `user` and the like are names, too.
    """
    if schema == DEFAULT_SCHEMA:
        return sql
    check_schema_name(schema)
    sql = re.sub(r"\btrioworker\.", f'"{schema}".', sql)
    return re.sub(r"(schema (?:if not exists )?)trioworker\b", rf'\g<1>"{schema}"', sql)


@cache
def load_statements(schema: str = DEFAULT_SCHEMA) -> Mapping[str, Statement]:
    """All statements by name, for `schema`."""
    folder = resources.files("trioworker.store.postgres") / "queries"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name
    )
    return {
        s.name: s for s in (parse_statement(f.name, f.read_text("utf-8"), schema) for f in files)
    }


def parse_statement(file_name: str, text: str, schema: str = DEFAULT_SCHEMA) -> Statement:
    """The statement that a file holds, for `schema`."""
    header = _HEADER.match(text)
    assert header, f"{file_name}: the header does not have its four lines"
    name = header["name"]
    assert f"{name}.sql" == file_name, f"{file_name}: holds a statement named {name}"
    rows = cast("Rows", header["rows"])
    return Statement(name, rows, header["does"], header["locks"], in_schema(text, schema))
