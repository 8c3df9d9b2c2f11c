"""What a command imports before it does anything: nothing that it has no use for."""

import subprocess
import sys
from typing import Final

import pytest

HTTP: Final = (
    "h11", "httpx", "hypercorn", "prometheus_client", "starlette", "trioworker.server",
    "trioworker.store.agent", "trioworker.store.line",
)  # fmt: skip
PROGRAM: Final = f"""
import sys
from trioworker.cli.start import main
try:
    main()
finally:
    print("imported:", *sorted({{*{HTTP}}} & {{*sys.modules}}))
"""


@pytest.mark.parametrize(
    "command",
    [["--version"], ["enqueue", "--help"], ["run", "--help"], ["bench", "agents", "--help"]],
)
def test_who_does_not_speak_http_does_not_import_it(command: list[str]) -> None:
    """It is a tenth of a second, and most commands take hardly longer."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], check=True, capture_output=True, text=True
    )
    assert ran.stdout.splitlines()[-1] == "imported:"
