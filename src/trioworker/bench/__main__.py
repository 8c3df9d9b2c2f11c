"""`python -m trioworker.bench NAME`: the same as `trioworker bench NAME`."""

from trioworker.bench.command import bench_app

bench_app()
