"""A parallel loop: pictures are made smaller, eight at a time; one that is broken costs no other.

The pictures are of the simplest sort, grey values as text (PGM), so that this needs no library.
"""

import os
from pathlib import Path

from trioworker import App
from trioworker.flows import expr, flow, for_each, step

SIDE = 8

app = App()


def folder() -> Path:
    """Where the pictures are."""
    return Path(os.environ.get("PICTURES", "pictures"))


@app.job
def draw(count: int) -> list[str]:
    """Make some pictures to begin with, and a file that is none."""
    folder().mkdir(exist_ok=True)
    for number in range(count):
        pixels = " ".join(str((number + pixel) % 256) for pixel in range(SIDE * SIDE))
        (folder() / f"{number}.pgm").write_text(f"P2 {SIDE} {SIDE} 255\n{pixels}\n")
    (folder() / "broken.pgm").write_text("no picture at all")
    return sorted(file.name for file in folder().glob("*.pgm"))


@app.job
def halve(name: str) -> str:
    """Keep every second pixel of every second line."""
    kind, width, height, white, *pixels = (folder() / name).read_text().split()
    if kind != "P2":
        raise ValueError(f"{name} is no picture")
    rows = [pixels[start : start + int(width)] for start in range(0, len(pixels), int(width))]
    small = [row[::2] for row in rows[::2]]
    text = "\n".join(" ".join(row) for row in small)
    smaller = folder() / f"small-{name}"
    smaller.write_text(f"P2 {int(width) // 2} {int(height) // 2} {white}\n{text}\n")
    return smaller.name


@app.job
async def report(made: list[str | None]) -> str:
    """How many there are now; of a picture that failed there is null."""
    done = [name for name in made if name is not None]
    return f"{len(done)} of {len(made)} pictures were made smaller"


shrink = flow(
    "pictures/shrink",
    [
        step("found", draw, {"count": expr("input.count")}),
        for_each(
            "small",
            expr("results.found"),
            [step("half", halve, [expr("iter.value")])],
            parallel=8,
            skip_failure=True,
        ),
        step("told", report, {"made": expr("results.small")}),
    ],
    inputs={"count": "number"},
)
