"""The secret that signs the tokens of agents, kept beside the embedded PostgreSQL.

Rule of this file: it is made once, as a whole or not at all, and only its owner can read it.
"""

import os
from pathlib import Path
from typing import Final

from trioworker.errors import UsageError
from trioworker.ids import new_secret
from trioworker.model.agent_token import SECRET_CHARS_MIN
from trioworker.store.postgres.embedded import default_data_dir
from trioworker.store.postgres.embedded_folder import DataFolder

OWNER_ONLY: Final = 0o600
OTHERS: Final = 0o077


async def embedded_secret(data_dir: Path | None = None) -> str:
    """The secret of `data_dir`, made when there is none.

    Raises `UsageError` when the folder or the secret in it cannot serve.
    """
    folder = DataFolder.at(data_dir or default_data_dir())
    folder.make()
    async with folder.exclusive():
        if not folder.agent_secret.exists():
            _make(folder.agent_secret)
        return _read(folder.agent_secret)


def _make(path: Path) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)  # somebody was killed right here
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
        file.write(f"{new_secret()}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read()
    except OSError as error:
        raise UsageError(f"cannot read the secret {path}: {error.strerror}") from None
    if mode & OTHERS:
        raise UsageError(f"others can read the secret {path}; forbid it: chmod 600 {path}")
    secret = content.decode("ascii", "replace").strip()
    if len(secret) < SECRET_CHARS_MIN or not secret.isascii() or not secret.isprintable():
        raise UsageError(
            f"{path} holds no secret; delete it for a new one, with which no token counts any more"
        )
    return secret
