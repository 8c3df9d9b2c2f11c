"""Where the program begins, and the first half second of it: the imports.

Rule of this file: nothing large is imported until Ctrl-C has been provided for. It then ends the
program without a word, and `guarded` takes over when all is imported.
"""

import gc
import os
import signal
import sys
from typing import NoReturn

from trioworker.cli.exits import ExitStatus


def main() -> NoReturn:
    """The program `trioworker`."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else it is ignored, as behind `nohup`
        signal.signal(signal.SIGINT, _leave)
    # Modules are no garbage: to look for some meanwhile took a sixth of the time.
    gc.disable()
    from trioworker.cli import main as tree  # noqa: PLC0415 - the rule of this file

    tree.load(sys.argv[1:])
    gc.freeze()
    gc.enable()
    try:
        signal.signal(signal.SIGINT, usual)
        tree.main()
    except KeyboardInterrupt:
        sys.exit(ExitStatus.INTERRUPTED)
    sys.exit()


def _leave(*_: object) -> NoReturn:
    # There is nothing to clean up yet, and an exception could get lost in the midst of an import.
    os._exit(ExitStatus.INTERRUPTED)
