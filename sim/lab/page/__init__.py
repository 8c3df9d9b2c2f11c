"""The page of a run: one file of HTML with everything in it, for any browser, from any folder.

Rule of this package: the page asks nobody for anything. What it draws is `timeline.Picture`; the
files beside this one are put into it as they are.
"""

import html
from pathlib import Path
from typing import Final

import msgspec

from sim.lab.timeline import Picture

HERE: Final = Path(__file__).parent
SCRIPTS: Final = ("model.js", "draw.js", "overview.js", "page.js")


class Shown(msgspec.Struct, kw_only=True):
    """What stands above the picture."""

    title: str
    plan: str
    figures: str
    story_told: str = ""


def page(picture: Picture, shown: Shown) -> str:
    """The page, whole."""
    run = msgspec.to_builtins(picture) | msgspec.to_builtins(shown)
    filled = {
        "title": html.escape(shown.title),
        "style": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        # No text of a run can end the element that it stands in.
        "run": msgspec.json.encode(run).decode().replace("<", "\\u003c"),
    }
    text = _read("page.html")
    for name, value in filled.items():
        text = text.replace(f"@{name}@", value, 1)
    return text


def _read(name: str) -> str:
    return (HERE / name).read_text("utf-8")
