"""Metrics: a sink of events that counts, and the text that Prometheus reads.

Rule of this file: a registry of our own, so that whoever embeds us keeps theirs, and no label that
a client can make up. What stands in the queue is asked of the database when somebody reads.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from trioworker.events import (
    AccessRefused,
    BatchPulled,
    BatchStored,
    CommitFailed,
    Event,
    HeartbeatFailed,
    JobEnded,
    JobsReaped,
    LeaseTaken,
    OutcomeRefused,
    PullFailed,
    RequestServed,
    StatementRun,
)
from trioworker.model.failures import Step
from trioworker.model.state import TagCounts

METRICS_TEXT: Final = CONTENT_TYPE_LATEST
HEARTBEAT: Final = "heartbeat"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STANDINGS: Final = ("ready", "scheduled", "waiting", "running")
SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Metrics:
    """A sink for all events, those of statements among them; see docs/http-api.md for the names."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        count = self._counter
        self._attempts = count("job_attempts", "Attempts that ended, by outcome", "outcome")
        self._pulls = count("pulls", "Pulls that were answered with jobs")
        self._pulled = count("jobs_pulled", "Jobs that pulls have claimed")
        self._pull_failures = count("pull_failures", "Pulls that failed, by failure", "failure")
        self._batches = count("batches_stored", "Transactions that stored outcomes")
        self._stored = count("outcomes_stored", "Outcomes that were stored")
        self._failed = count("failures_stored", "Those among them that are failures")
        self._lost = count("outcomes_lost", "Outcomes of jobs that others had taken")
        self._refused = count("outcomes_refused", "Outcomes that the database refused")
        self._commits = count("commit_failures", "Commits that failed, by failure", "failure")
        self._fallbacks = count("commit_fallbacks", "Batches that were divided after a failure")
        self._beats = count("heartbeats", "Heartbeats that were stored")
        self._beats_failed = count("heartbeat_failures", "Heartbeats that failed")
        self._leases = count("leases_lost", "Leases that were taken away")
        self._reaped = count("jobs_reaped", "Jobs of dead workers, by what became of them", "state")
        self._statements = count("statements", "Statements that the database ran", "name")
        self._requests = count(
            "http_requests", "Requests that were answered", "method", "route", "status"
        )
        self._refusals = count("access_refused", "Requests of unknown senders", "credential")
        self._seconds = Histogram(
            "trioworker_http_request_seconds",
            "How long requests took",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._queue = Gauge(
            "trioworker_queue_jobs",
            "Unfinished jobs, by tag and state",
            ("tag", "state"),
            registry=self._registry,
        )
        self._answers = Gauge(
            "trioworker_database_up", "Whether the database answers", registry=self._registry
        )
        self._counts = self._by_event()

    def __call__(self, event: Event) -> None:
        """Count one event."""
        count = self._counts.get(type(event))
        if count is not None:
            count(event)

    def text(self, counts: Sequence[TagCounts] | None) -> bytes:
        """All of it as Prometheus reads it.

        `counts` are of the queue as it is now, None when the database does not tell.
        """
        self._answers.set(counts is not None)
        self._queue.clear()
        for of_tag in counts or ():
            for standing in STANDINGS:
                self._queue.labels(of_tag.tag, standing).set(getattr(of_tag, standing))
        return generate_latest(self._registry)

    def _by_event(self) -> Mapping[type[Event], Callable[[Any], object]]:
        """What each event adds to."""
        return {
            JobEnded: lambda e: self._attempts.labels(e.outcome.lower()).inc(),
            BatchPulled: self._count_pull,
            PullFailed: lambda e: self._pull_failures.labels(e.failure).inc(),
            BatchStored: self._count_batch,
            OutcomeRefused: lambda _: self._refused.inc(),
            CommitFailed: self._count_failure,
            HeartbeatFailed: lambda _: self._beats_failed.inc(),
            LeaseTaken: lambda _: self._leases.inc(),
            JobsReaped: self._count_reaped,
            StatementRun: self._count_statement,
            RequestServed: self._count_request,
            AccessRefused: lambda e: self._refusals.labels(e.credential).inc(),
        }

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"trioworker_{name}", meaning, labels, registry=self._registry)

    def _count_pull(self, event: BatchPulled) -> None:
        self._pulls.inc()
        self._pulled.inc(len(event.jobs))

    def _count_batch(self, event: BatchStored) -> None:
        self._batches.inc()
        self._stored.inc(event.stored)
        self._failed.inc(event.failed)
        self._lost.inc(len(event.lost))

    def _count_failure(self, event: CommitFailed) -> None:
        self._commits.labels(event.failure).inc()
        if event.step == Step.DIVIDE:
            self._fallbacks.inc()

    def _count_reaped(self, event: JobsReaped) -> None:
        self._reaped.labels("ready").inc(len(event.ready))
        self._reaped.labels("failed").inc(len(event.failed))

    def _count_statement(self, event: StatementRun) -> None:
        self._statements.labels(event.name).inc()
        if event.name == HEARTBEAT:
            self._beats.inc()

    def _count_request(self, event: RequestServed) -> None:
        method = event.method if event.method in METHODS else "other"
        self._requests.labels(method, event.route, str(event.status)).inc()
        self._seconds.labels(event.route).observe(event.seconds)
