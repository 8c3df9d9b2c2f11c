"""Who gives a command, for those who see later what came of it."""

import getpass
import os
import socket


def me() -> str:
    """`user@host`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())  # in a container that knows no names
    return f"{user}@{socket.gethostname()}"
