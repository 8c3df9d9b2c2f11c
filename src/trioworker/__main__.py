"""`python -m trioworker`: the same as `trioworker`."""

from trioworker.cli.main import main

main()
