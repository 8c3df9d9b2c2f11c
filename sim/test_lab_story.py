"""What a story says: who did what, and what became of it."""

import re

import msgspec
import pytest

from sim import happenings
from sim.crafted import LOST_REPLY, POISON, chronicled, told
from sim.happenings import Happening, ServerDown
from sim.lab.chronicle import Chronicle
from sim.lab.given import seed_range, target
from sim.lab.story import story
from sim.plan import Plan, Scripted, Sizes
from trioworker import events
from trioworker.errors import UsageError
from trioworker.events import Event


def test_a_story_tells_of_a_fallback_around_a_refused_row() -> None:
    """The batch that failed, why, what follows, and what became of each of its jobs."""
    text = told(POISON)

    assert "client: enqueued jobs 01-04" in text
    assert re.search(r"worker-0: pulled jobs 01-04 into c1 \(4 of \d+ asked for\)", text)
    assert "worker-0: ran jobs 01-03 succeeded" in text
    assert re.search(
        r"worker-0: commit of 3 \(jobs 01-03\) failed \(refused: .+\): falls back to per-job", text
    )
    assert re.search(r"commit of job 02 failed .+: stores a failure in its place", text)
    assert "worker-0: stored job 02 as failure" in text
    assert "worker-0: stored job 03 as success" in text
    assert "never comes" not in text


def test_a_story_knows_what_the_worker_does_not() -> None:
    """A commit whose reply is lost has failed for the worker, and is stored all the same."""
    text = told(LOST_REPLY)

    assert "worker-0: line lost after the effect at commit #0" in text
    assert re.search(
        r"commit of 3 \(jobs 01-03\) failed \(connection lost: .+\): tries again when the server is"
        r" back; but it took effect: jobs 01-03 stored, and the worker does not know",
        text,
    )
    assert "worker-0: found stored already: jobs 01-03 as success" in text


def test_a_story_tells_of_a_claim_that_nobody_heard_of() -> None:
    """It is made, the reply never comes, and it is adopted."""
    fault = "line lost after the effect@worker-0/pull#0"
    text = told(msgspec.structs.replace(LOST_REPLY, exactly=[fault]))

    assert "c1 is made of jobs 01-03 and the reply never comes" in text
    assert "adopts what it was never told that it holds: jobs 01-03" in text


def test_a_story_tells_of_lives_and_of_whose_hands_things_are_in() -> None:
    """A kill, the jobs in dead hands, the lease taken, the claim reaped, the next life."""
    text = told(
        msgspec.structs.replace(
            POISON,
            sizes=Sizes(workers=1, lease_s=1.5, heartbeat_s=0.5, sweep_s=0.5),
            jobs=("slow",),
            script=[Scripted(fault="worker killed@worker-0#0", after="worker-0/pull#0", at_s=0.2)],
            chaos_s=6.0,
        )
    )

    assert "worker-0: worker killed: SIGKILL, with c1 in hand (job 01)" in text
    assert re.search(r"ran job 01 \(slow\): killed with its worker after 0\.\d+ s", text)
    assert re.search(r"worker-0/2nd life: takes the lease from worker-0, silent for [\d.]+ s", text)
    assert "worker-0/2nd life: reaps c1 of worker-0: job 01 ready again" in text
    assert "(slow, attempt 2): succeeded" in text


def test_a_process_that_is_new_has_nothing_in_hand() -> None:
    """Whatever the life before it held, and still holds."""
    kills = [
        Scripted(fault="worker killed@worker-0#0", after="worker-0/pull#0", at_s=0.02),
        Scripted(fault="worker killed@worker-0#1", after="worker-0/register_worker#1", at_s=0.03),
    ]
    plan = msgspec.structs.replace(
        POISON,
        jobs=("slow",),
        script=kills,
        exactly=["slow@worker-0/register_worker#1"],
        chaos_s=6.0,
    )
    text = told(plan)

    assert "SIGKILL, with c1 in hand (job 01)" in text
    assert "SIGKILL, with nothing in hand" in text


def test_a_fault_and_what_it_does_are_one_line() -> None:
    """Also when what a crash undoes is told in between; the fault keeps its name."""
    plan = msgspec.structs.replace(
        POISON,
        jobs=("slow",),
        script=[Scripted(fault="server crashed@server#0", after="worker-0/pull#0", at_s=0.1)],
        chaos_s=3.0,
    )
    chronicle = chronicled(plan)
    lines = [line.text for line in story(chronicle) if line.who == "server"]

    assert lines[0].startswith("server crashed: every line is cut; undone: 1 commit that")
    assert lines[1] == "the crash undoes c1: job 01 ready again, while still in a worker's hands"
    assert [d.fault for d in chronicle.deeds if d.fault] == ["server crashed@server#0"]


def test_every_event_is_told_or_left_out_on_purpose() -> None:
    """A new event has to find its words."""
    silent = {"BodyStarted", "OutcomeRefused", "ConnectFailed", "JobsReaped"}
    silent |= {"LogHeard", "LogFollowed", "BatchHanded", "StepDone"}
    # What commands say around a worker; a simulated one has none of it.
    of_servers = {"ServerListening", "RequestServed", "RequestFailed", "AccessRefused", "Answered"}
    of_commands = {"ChunksCut", "JobsLeft", "SchedulesDeclared", "SchedulesLeft"}
    of_commands |= {"ScriptRan", "ScriptFailed"}
    read = {kind.__name__ for reader in chronicled(POISON).readers() for kind in reader.reads()}
    kinds = {
        name
        for module in (events, happenings)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    }

    assert kinds - read == silent | of_commands | of_servers


def test_lines_are_in_the_order_in_which_they_happened() -> None:
    """Folding moves nothing past what it belongs to."""
    plan = Plan(
        seed=1, sizes=Sizes(workers=2, jobs=60), bodies={"ok": 1.0}, enqueue_s=0.5, chaos_s=1.0
    )
    lines = story(chronicled(plan))

    assert sum(line.text.startswith("ran jobs") for line in lines) > 1
    assert [line.at_s for line in lines] == sorted(line.at_s for line in lines)


def test_a_trace_of_nothing_is_an_empty_story() -> None:
    """As of a run that broke down at once; and one happening is one line."""
    down = Happening(1.0, "server", ServerDown(lost=0))

    assert story(Chronicle(POISON, [], [])) == []
    assert [line.text for line in story(Chronicle(POISON, [down], []))] == ["every line is cut"]


def test_jobs_are_listed_in_ranges() -> None:
    """Neighbours become one range, and one job is one job."""
    names = chronicled(POISON).names
    ids = list(names.jobs)

    assert names.listed(ids[:1]) == "job 01"
    assert names.listed([ids[0], ids[3]]) == "jobs 01 04"
    assert names.listed(reversed(ids)) == "jobs 01-04"
    assert names.shorten(f"job {ids[2]} is gone") == "job 03 is gone"


def test_a_job_is_found_by_its_number_or_its_id() -> None:
    """What fits several is none."""
    names = chronicled(POISON).names
    ids = list(names.jobs)

    assert names.find_job("3") == names.find_job("job 03") == names.find_job(str(ids[2])) == ids[2]
    with pytest.raises(UsageError, match="4 jobs begin with"):
        names.find_job(str(ids[0])[:8])


def test_a_range_of_seeds_leaves_its_end_out() -> None:
    """As in the options of the suite."""
    assert list(seed_range("3..6")) == [3, 4, 5]
    assert target("0017").title == "seed 17"
