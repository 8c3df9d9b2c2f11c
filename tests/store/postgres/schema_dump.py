"""The schema that the migrations make, as one text: what `schema.sql` holds and a test compares.

`python -m tests.store.postgres.schema_dump` writes the file anew.
"""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trio

from tests.database_fixtures import NEWEST, private_server
from trioworker.events import discard
from trioworker.store.postgres.database import Lane, open_database
from trioworker.store.postgres.embedded_programs import bundled_programs
from trioworker.store.postgres.migrate import ADMIN, load_migrations, migrate
from trioworker.store.postgres.statements import DEFAULT_SCHEMA

FILE: Final = Path(__file__).with_name("schema.sql")
COMMAND: Final = f"python -m {__spec__.name}"
HEADER: Final = f"""\
-- What the migrations make, on every version of PostgreSQL; a test compares it.
-- `{COMMAND}` writes it anew.
--
-- The migrations it was made with. One that was released never changes: the next one mends it.
"""
NOISE: Final = re.compile(
    r"^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*)\n", re.MULTILINE
)


def schema_text(url: str) -> str:
    """The schema of the database at `url`, under the migrations that this checkout has."""
    return f"{HEADER}{''.join(_fingerprints())}\n{_dumped(url)}"


def _fingerprints() -> Iterator[str]:
    for migration in load_migrations():
        digest = hashlib.sha256(migration.sql.encode()).hexdigest()
        yield f"-- {migration.number:04} {migration.name} {digest[:32]}\n"


def _dumped(url: str) -> str:
    """The newest pg_dump says the same of every server that it knows, but for its own words."""
    pg_dump = bundled_programs(NEWEST) / "pg_dump"
    options = ("--schema-only", f"--schema={DEFAULT_SCHEMA}", "--no-owner", "--no-privileges")
    text = subprocess.run([pg_dump, *options, url], check=True, capture_output=True, text=True)
    return re.sub(r"\n{2,}", "\n\n", NOISE.sub("", text.stdout)).lstrip()


async def _write() -> None:
    async with (
        private_server() as server,
        open_database(server.url, (Lane(ADMIN),), emit=discard) as database,
    ):
        await migrate(database, DEFAULT_SCHEMA)
        FILE.write_text(schema_text(server.url), "utf-8")


if __name__ == "__main__":
    trio.run(_write)
