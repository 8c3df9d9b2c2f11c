"""PgBouncer in front of a test server, pooling transactions, as people run it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from trioworker.store.postgres.embedded_programs import server_user

PGBOUNCER: Final = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PORT: Final = 6543
"""Part of the name of its socket, which is in a folder of its own."""


@contextmanager
def pooler_before(url: str, *, size: int) -> Iterator[str]:
    """The address of a pooler before `url` that has `size` connections to it."""
    assert PGBOUNCER is not None
    parts = urlsplit(url)
    database = parts.path.removeprefix("/")
    [host] = parse_qs(parts.query)["host"]
    folder = Path(tempfile.mkdtemp(prefix="tw-pool-"))
    folder.chmod(0o777)
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{database} = host={host} user={parts.username}\n"
        f"[pgbouncer]\nunix_socket_dir = {folder}\nlisten_port = {PORT}\nlisten_addr =\n"
        f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {size}\n"
        "server_idle_timeout = 5\nquery_wait_timeout = 20\n"
    )
    # It refuses to be root, and must reach the socket of a server that is somebody's.
    owner = server_user(Path(host))
    Path(host).parent.chmod(0o711)
    process = subprocess.Popen(
        [PGBOUNCER, "--quiet", folder / "pgbouncer.ini"],
        user=owner and owner.uid,
        group=owner and owner.gid,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (folder / f".s.PGSQL.{PORT}").exists():
            assert process.poll() is None, "pgbouncer did not start"
        yield f"postgresql://{parts.username}@/{database}?host={quote(str(folder))}&port={PORT}"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)
