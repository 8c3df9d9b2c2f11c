"""Every error trioworker raises on purpose, sorted by who is at fault.

The caller of a public function can tell from the class alone whose move it is:

* `UsageError` and below: the person who wrote the command, the setting or the job definition.
* `StoreError` and below: the database or the way to it. The failure class says whether waiting
  helps; `trioworker.model.failures` turns it into a decision.
* `InvalidToken`: whoever sent the token, or whoever let it expire.
* `LeaseLost`: nobody's fault; this worker was too slow and its jobs belong to others now.
* `JobFailed` and `WaitTimeout`: the job that was waited for, or the patience of the one who did.
* `Snooze`, `Retry` and `Cancel` are not errors at all but verdicts that a job raises about itself.
"""

from uuid import UUID


class TrioworkerError(Exception):
    """Base of all; never raised itself."""


class UsageError(TrioworkerError):
    """What was asked for cannot be done as asked: the message says what is wrong and the mend.

    The command line prints it as one line and exits with status 2.
    """


class SettingsError(UsageError):
    """A setting has a value it cannot have, or is set in a mode that does not use it."""


class InvalidArguments(UsageError):
    """A job's arguments do not fit the function they are for."""


class DuplicateJob(UsageError):
    """A job was to be unique, and another one holds its key: `first` is that one's id.

    Nothing was stored. `job` is the id that the refused one would have had.
    """

    def __init__(self, job: UUID, *, first: UUID, key: str) -> None:
        super().__init__(f"the unique key {key!r} is held by job {first}; nothing was enqueued")
        self.job = job
        self.first = first
        self.key = key


class UnknownJob(UsageError):
    """No job has this id."""


class UnknownSchedule(UsageError):
    """No schedule has this name."""


class UnknownScript(UsageError):
    """Nothing is deployed at this path, or not this version of it."""


class UnknownFlow(UsageError):
    """There is no flow of this name, or not this version of it; sibling: `UnknownJob`."""


class NothingToDecide(UsageError):
    """An approval does not wait any more, or this one has decided; sibling: `MayNotDecide`."""


class MayNotDecide(UsageError):
    """Somebody decides who is none of the approvers; sibling: `NothingToDecide`."""


class JobFailed(TrioworkerError):
    """The job whose result was asked for ended without one; sibling: `WaitTimeout`.

    `job` is its id and `status` how it ended: "failure", "canceled" or "skipped". `name`,
    `reason` and `traceback` are its error's, as it was stored.
    """

    def __init__(
        self, job: UUID, *, status: str, name: str, reason: str, traceback: str | None = None
    ) -> None:
        super().__init__(f"job {job} ended as {status}: {name}: {reason}")
        self.job = job
        self.status = status
        self.name = name
        self.reason = reason
        self.traceback = traceback


class ChildFailed(JobFailed):
    """A child that a function waits for ended without a result; `path` is what it was.

    Sibling: `ChildCancelled`, when somebody cancelled it.
    """

    def __init__(
        self,
        job: UUID,
        *,
        path: str,
        status: str,
        name: str,
        reason: str,
        traceback: str | None = None,
    ) -> None:
        super().__init__(job, status=status, name=name, reason=reason, traceback=traceback)
        self.args = (f"child {job} ({path}) ended as {status}: {name}: {reason}",)
        self.path = path


class ChildCancelled(ChildFailed):
    """A child that a function waits for was cancelled."""


class InitScriptFailed(TrioworkerError):
    """The script that was to be run before the first pull failed; the worker does not start."""


class WaitTimeout(TrioworkerError, TimeoutError):
    """A job did not end in the time that somebody was ready to wait; the job itself goes on."""


class ReplayMismatch(UsageError):
    """A later attempt of a job asks for another child, or another step, than an earlier one did."""


class StoreError(TrioworkerError):
    """The database did not do what it was asked to.

    `sqlstate` is the five-character code of the server, or None where the failure happened
    outside it (a dead line has no code). `ambiguous` says that the work may have been done
    although the answer never came.
    """

    def __init__(
        self, message: str, *, sqlstate: str | None = None, ambiguous: bool = False
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.ambiguous = ambiguous


class ConnectionLost(StoreError):
    """The line to the database is dead, or could not be opened; sibling: `ServerUnavailable`."""


class ServerUnavailable(StoreError):
    """The server answers but takes no work: it starts, stops, fails over or is read-only."""


class Contention(StoreError):
    """Deadlock or serialization failure: nothing was stored and the same again may succeed."""


class StatementTimeout(StoreError):
    """The statement or a lock it waits for took too long and was given up."""


class StatementOfJobTimeout(StatementTimeout):
    """A statement that a job handed over took too long; sibling: `Refused`, when it is refused."""


class ServerAway(TrioworkerError):
    """The server of an agent cannot be reached, or cannot be used, when the agent starts."""


class Refused(StoreError):
    """The server will never take this value (bad text, number, size, or a violated constraint)."""


class Exhausted(StoreError):
    """The server lacks disk, memory, connections or the privileges that the work needs."""


class NotAllowed(StoreError):
    """The server does not know this agent's token, or does not let it do this."""


class UnknownStoreError(StoreError):
    """A failure that fits no other class; most likely a bug of ours or of the driver."""


class SchemaMismatch(StoreError):
    """The database's schema is older or newer than this version of trioworker knows."""


class InvalidToken(TrioworkerError):
    """A token is none of ours, or its time is over; the message is for the server's log only."""


class LeaseLost(TrioworkerError):
    """This worker's lease was taken away; what it holds belongs to others now."""


class Verdict(TrioworkerError):
    """Base of what a job raises to end otherwise than by returning; never raised itself."""


class Snooze(Verdict):
    """Raised by a job: run me again in `delay_s` seconds; this does not count as an attempt."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"snoozed for {delay_s} s")
        self.delay_s = delay_s


class Retry(Verdict):
    """Raised by a job: this attempt failed, try again in `delay_s` seconds."""

    def __init__(self, reason: str, *, delay_s: float) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


class Cancel(Verdict):
    """Raised by a job: stop for good, without success and without failure."""
