"""A dedicated script: its process is kept, and `main` is called for one job after the other."""

import re


def main(title: str) -> str:
    """The arguments come by name; what it prints is the log of this very job."""
    print("making a slug of", title)
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
