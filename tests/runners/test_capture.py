"""Who gets what is printed and logged."""

import logging
import subprocess
import sys
from textwrap import dedent

import pytest

from trioworker.runners.capture import Capture, capturing, current
from trioworker.runners.joblog import JobLog


def test_output_outside_of_jobs_goes_where_it_always_went(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The worker's own output is not swallowed, and nothing stays replaced."""
    stdout, handlers = sys.stdout, list(logging.root.handlers)
    with capturing(), capturing():
        print("mine")  # noqa: T201 - the subject
        sys.stdout.writelines(["two ", "parts\n"])
    assert capsys.readouterr().out == "mine\ntwo parts\n"
    assert sys.stdout is stdout
    assert logging.root.handlers == handlers


def test_output_of_a_job_goes_to_its_log_once(capsys: pytest.CaptureFixture[str]) -> None:
    """However many runners are open, each line is there once; after the end nothing is added."""
    log = JobLog()
    capture = Capture(log)
    with capturing(), capturing():
        token = current.set(capture)
        print("hello", flush=True)  # noqa: T201 - the subject
        logging.getLogger("job").warning("careful")
        with pytest.raises(TypeError, match=r"write\(\) argument must be str, not bytes"):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]  # the point of it
        capture.close()
        print("too late")  # noqa: T201 - the subject
        current.reset(token)
    assert log.text() == "hello\nWARNING job: careful\n"
    assert capsys.readouterr().out == ""


def test_a_stream_that_somebody_else_replaced_is_left_to_them() -> None:
    """Only our own replacement is undone."""
    original = sys.stdout
    try:
        with capturing():
            sys.stdout = theirs = sys.__stderr__
        assert sys.stdout is theirs
    finally:
        sys.stdout = original


def test_logging_that_nobody_configured_counts_as_info_for_jobs_only() -> None:
    """A job's first logger.info is not lost, and the rest of the program logs as before."""
    program = """
        import logging
        from trioworker.runners.capture import Capture, capturing, current
        from trioworker.runners.joblog import JobLog
        log = JobLog()
        with capturing():
            logging.info("worker's info")
            logging.warning("worker's warning")
            token = current.set(Capture(log))
            logging.info("job's info")
            current.reset(token)
        logging.warning("afterwards")
        print(log.text(), end="")
        """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "INFO root: job's info\n"
    assert done.stderr == "worker's warning\nWARNING:root:afterwards\n"
