"""Commands that need a worker at work: `enqueue --wait`, and `jobs cancel` of what runs."""

import json
from pathlib import Path

from tests.cli.commands import Run, Worker


def test_results_come_as_soon_as_there_are_any(
    here: Run, database_url: str, tmp_path: Path
) -> None:
    """With a worker at work, one command enqueues a job and prints its result or its reason."""
    with Worker(url=database_url) as worker:
        ended = here("enqueue", "greet", '["you"]', "--wait").well()
        assert (ended.output, ended.complaints) == ('"Hello, you!"\n', "")
        (state,) = here("enqueue", "greet", '["you"]', "--wait", "--json").well().document
        assert (state["state"], state["result"]) == ("success", "Hello, you!")

        ended = here("enqueue", "divide", "[1, 0]", "--tag", "default", "--wait")
        assert (ended.status, ended.output) == (1, "")
        assert ended.complaints.endswith("failure: ZeroDivisionError: division by zero\n")

        endless = json.dumps({"file": str(tmp_path / "never")})
        job = here("enqueue", "until_there", endless).well().output.strip()
        while worker.said("job started")["job"] != job:
            pass
        ended = here("jobs", "cancel", job).well()
        assert ended.output == "1 job running: the workers were asked to stop\n"
        ended = here("jobs", "wait", job)
        assert ended.status == 1
        assert ended.complaints.startswith(f"trioworker: job {job} ended as canceled: ")
        worker.ask_to_stop()
        assert worker.ended()[0] == 0
