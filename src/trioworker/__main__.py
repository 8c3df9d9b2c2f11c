"""`python -m trioworker`: the same as `trioworker`."""

from trioworker.cli.start import main

main()
