"""A worker that is to be killed: it claims all there is, in some mode, and ends no job.

python -m tests.worker.matrix.victim URL WAY
"""

import sys

import trio

from tests.worker.harness import open_rig
from tests.worker.matrix.scene import WAYS, open_scene


async def main(*argv: str) -> None:
    """Work until killed."""
    url, name = argv
    (way,) = [way for way in WAYS if way.name == name]
    async with open_rig(url) as rig, open_scene(rig, way) as scene:
        await scene.work()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
