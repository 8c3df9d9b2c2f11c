"""`python -m sim`: the simulator's laboratory."""

import sys
from collections.abc import Sequence
from typing import Any

import trio

from trioworker.cli.guard import guarded
from trioworker.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments` ask for, by default argv, and exit."""
    guarded(
        lambda: sys.exit(_commands()(arguments, prog_name="python -m sim", standalone_mode=False))
    )


def _commands() -> Any:  # noqa: ANN401 - a Typer
    """Imported only here, because another Trio may lack what an import of it asks for."""
    try:
        from sim.lab.commands import app  # noqa: PLC0415 - see above
    except (ImportError, AttributeError) as error:
        if not _is_of_trio(error):
            raise
        raise UsageError(
            f"trio {trio.__version__} lacks what the simulator needs of its inside: {error};"
            " pip install the one that pyproject.toml pins"
        ) from None
    return app


def _is_of_trio(error: ImportError | AttributeError) -> bool:
    missing_in = error.name if isinstance(error, ImportError) else error.obj.__module__
    return str(missing_in).partition(".")[0] == "trio"


if __name__ == "__main__":
    main()
