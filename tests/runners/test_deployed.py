"""Deployed scripts on a worker: their files, their packages, their newest versions."""

import fcntl
import os
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from tests.runners.jobs import a_job, error, result, run, run_all, script_job, write
from trioworker.errors import ConnectionLost, NotAllowed
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome
from trioworker.model.script import NewScript, ScriptHead, StoredScript, new_script
from trioworker.runners import packages as packages_module
from trioworker.runners.protocol import Runner
from trioworker.runners.registry import build_runners, open_runners
from trioworker.runners.shelf import Shelf

ANSWER = "import answer, json, os\njson.dump(answer.IT, open(os.environ['TRIOWORKER_RESULT'], 'w'))"
WAITS = """
    import os, pathlib, time
    def main(folder, name):
        pathlib.Path(folder, name).touch()
        while name == "first" and not pathlib.Path(folder, "go").exists():
            time.sleep(0.002)
        return [{version}, os.getpid()]
    """


class Shop:
    """What is deployed, in memory; counts what it is asked."""

    def __init__(self) -> None:
        self.versions: dict[str, list[StoredScript]] = {}
        self.fetched = 0
        self.failures: list[Exception] = []

    def deploy(self, new: NewScript, *, lock: tuple[str, ...] | None = None) -> ScriptHead:
        """A new version."""
        known = self.versions.setdefault(new.path, [])
        head = ScriptHead(
            path=new.path, version=len(known) + 1, hash=new.hash, language=new.language,
            dedicated=new.dedicated, requirements=new.requirements, lock=lock,
        )  # fmt: skip
        known.append(StoredScript(head, new.content))
        return head

    async def newest_scripts(self, paths: Sequence[str]) -> Mapping[str, ScriptHead]:
        """See `Library`."""
        return {path: self.versions[path][-1].head for path in paths if path in self.versions}

    async def script(self, path: str, version: int) -> StoredScript | None:
        """See `Library`."""
        self.fetched += 1
        if self.failures:
            raise self.failures.pop()
        known = self.versions.get(path, [])
        return known[version - 1] if version <= len(known) else None


class Worker:
    """The runners of a worker with a cache of its own."""

    def __init__(self, shelf: Shelf, runners: Mapping[str, Runner]) -> None:
        self.shelf = shelf
        self.runners = runners

    async def run(self, *jobs: Job) -> list[Outcome]:
        """What comes of a batch of jobs, at the same time."""
        await self.shelf.scripts.look(sorted({job.path for job in jobs}))
        return await run_all(self.runners[jobs[0].kind], list(jobs))


@asynccontextmanager
async def a_worker(shop: Shop, folder: Path, cache: str = "cache") -> AsyncIterator[Worker]:
    """A worker with the scripts folder and the cache below `folder`."""
    (folder / "scripts").mkdir(exist_ok=True)
    shelf = Shelf(folder / "scripts", shop, folder / cache, Random(1))
    runners = build_runners(None, scripts_dir=folder / "scripts", rng=Random(1), deployed=shelf)
    async with open_runners(runners):
        yield Worker(shelf, runners)


def answering(number: int) -> str:
    """A script whose result is the number."""
    return f"echo {number} > $TRIOWORKER_RESULT"


async def test_a_deployed_script_wins_over_the_folder(tmp_path: Path) -> None:
    """Until one is deployed the folder's is run, and what is not deployed comes from there."""
    shop = Shop()
    async with a_worker(shop, tmp_path) as worker:
        for name in ("a.sh", "b.sh"):
            write(tmp_path / "scripts" / name, answering(0))
        assert [*map(result, await worker.run(script_job("a.sh")))] == ["0"]
        shop.deploy(new_script("a.sh", answering(1)))
        jobs = [script_job("a.sh"), script_job("b.sh"), script_job("a.sh")]
        assert [*map(result, await worker.run(*jobs))] == ["1", "0", "1"]
        shop.deploy(new_script("a.sh", answering(2)))
        assert [*map(result, await worker.run(script_job("a.sh")))] == ["2"]


async def test_a_text_is_fetched_once(tmp_path: Path) -> None:
    """By however many jobs, and not again by the next worker with the same cache."""
    shop = Shop()
    shop.deploy(new_script("a.sh", answering(1)))
    for _ in range(2):
        async with a_worker(shop, tmp_path) as worker:
            assert {*map(result, await worker.run(*[script_job("a.sh") for _ in range(8)]))} == {
                "1"
            }
    assert shop.fetched == 1
    (kept,) = (tmp_path / "cache" / "scripts").glob("*/a.sh")
    kept.write_text("half of")
    async with a_worker(shop, tmp_path) as worker:
        assert [*map(result, await worker.run(script_job("a.sh")))] == ["1"]
    assert shop.fetched == 2


async def test_a_text_is_waited_for_while_nobody_has_it(tmp_path: Path) -> None:
    """An outage delays a job; a refusal ends it."""
    shop = Shop()
    shop.deploy(new_script("a.sh", answering(1)))
    shop.failures = [ConnectionLost("cut")]
    async with a_worker(shop, tmp_path) as worker:
        assert [*map(result, await worker.run(script_job("a.sh")))] == ["1"]
    shop.failures = [NotAllowed("not yours")]
    async with a_worker(shop, tmp_path, cache="other") as worker:
        (outcome,) = await worker.run(script_job("a.sh"))
    assert (error(outcome).name, error(outcome).message) == ("ScriptNotFetched", "not yours")


async def test_a_cache_that_cannot_be_written_fails_the_job(tmp_path: Path) -> None:
    """In one line that says where."""
    shop = Shop()
    shop.deploy(new_script("a.sh", answering(1)))
    (tmp_path / "cache").write_text("not a folder")
    async with a_worker(shop, tmp_path) as worker:
        (outcome,) = await worker.run(script_job("a.sh"))
    assert error(outcome).message.startswith("the script 'a.sh' cannot be kept in the cache folder")


async def test_a_new_version_replaces_a_dedicated_process(tmp_path: Path) -> None:
    """Jobs in the old process end there, new ones go to the new; none is lost or repeated."""
    shop = Shop()

    def deploy(version: int) -> None:
        shop.deploy(new_script("a.py", write_of(WAITS, version), dedicated=True))

    def job(name: str) -> Job:
        return script_job("a.py", f'{{"folder": "{tmp_path}", "name": "{name}"}}')

    deploy(1)
    old: list[Outcome] = []
    async with a_worker(shop, tmp_path) as worker, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def of_the_old_version() -> None:
            old.extend(await worker.run(job("first"), job("second")))

        with trio.fail_after(10):
            while not (tmp_path / "first").exists():  # noqa: ASYNC110 - it is another process's
                await trio.sleep(0.005)
        deploy(2)
        new = await worker.run(job("third"), job("fourth"))
        (tmp_path / "go").touch()
    versions = [[eval(result(one)) for one in some] for some in (old, new)]  # noqa: S307 - ours
    assert [[version for version, _ in some] for some in versions] == [[1, 1], [2, 2]]
    assert [len({pid for _, pid in some}) for some in versions] == [1, 1]


def write_of(text: str, version: int) -> str:
    """The text of a version, without its indentation."""
    return "\n".join(line[4:] for line in text.format(version=version).splitlines())


async def test_several_scripts_share_a_worker(tmp_path: Path) -> None:
    """Each in a process of its own."""
    shop = Shop()
    for name in ("a", "b", "c"):
        text = f"import os\ndef main(): return ['{name}', os.getpid()]"
        shop.deploy(new_script(f"{name}.py", text, dedicated=True))
    async with a_worker(shop, tmp_path) as worker:
        jobs = [script_job(f"{name}.py") for name in "abcabc"]
        found = [eval(result(one)) for one in await worker.run(*jobs)]  # noqa: S307 - it is ours
    assert [name for name, _ in found] == [*"abcabc"]
    assert len({pid for _, pid in found}) == 3


# ---- packages -------------------------------------------------------------------------------


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the packages `answer` 1.0 and 2.0, which is all that pip can find."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number in (1, 2):
        info = f"answer-{number}.0.dist-info"
        with zipfile.ZipFile(folder / f"answer-{number}.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("answer.py", f"IT = {number}\n")
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: answer\nVersion: {number}.0\n"
            )
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")
    for name, value in {
        "PIP_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return folder


@pytest.mark.usefixtures("wheels")
async def test_requirements_are_installed_when_first_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for all jobs; their lock is found by the job that is for it, and kept to elsewhere."""
    shop = Shop()
    head = shop.deploy(new_script("a.py", f"# requirements: answer<2\n{ANSWER}"))
    job = a_job("a.py", '{"version": 1}', kind="dependencies")
    async with a_worker(shop, tmp_path) as worker:
        jobs = [script_job("a.py") for _ in range(3)]
        assert [*map(result, await worker.run(*jobs))] == ["1", "1", "1"]
        assert [*map(result, await worker.run(job))] == ['["answer==1.0"]']
        monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")  # nothing is installed a second time
        locked = msgspec.structs.replace(head, lock=("answer==1.0",))
        shop.versions["a.py"][0] = StoredScript(locked, shop.versions["a.py"][0].content)
        assert [*map(result, await worker.run(script_job("a.py")))] == ["1"]


@pytest.mark.usefixtures("wheels")
async def test_a_lock_is_kept_to(tmp_path: Path) -> None:
    """Although something newer would fit, too; and by a dedicated process as well."""
    shop = Shop()
    text = "# requirements: answer\nimport answer\ndef main(): return answer.IT"
    shop.deploy(new_script("a.py", text, dedicated=True), lock=("answer==1.0",))
    async with a_worker(shop, tmp_path) as worker:
        assert [*map(result, await worker.run(script_job("a.py")))] == ["1"]


@pytest.mark.usefixtures("wheels")
async def test_what_cannot_be_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one clear line, to all jobs that want it; a later one is told after another try."""
    shop = Shop()
    shop.deploy(new_script("a.py", "# requirements: nonexistent-zzz, answer\nprint()"))
    jobs = [script_job("a.py"), script_job("a.py")]
    async with a_worker(shop, tmp_path) as worker:
        outcomes = await worker.run(*jobs)
        monkeypatch.setattr(packages_module, "FAILED_FOR_S", 0.0)
        outcomes += await worker.run(a_job("a.py", '{"version": 1}', kind="dependencies"))
    told = {(error(one).name, error(one).message.partition(":")[0]) for one in outcomes}
    assert told == {("RequirementsFailed", "requirement 'nonexistent-zzz' cannot be installed")}


async def test_npm_installs_what_node_finds(tmp_path: Path) -> None:
    """Here a folder of this machine's; its requirement names it in the lock, too."""
    package = tmp_path / "package"
    package.mkdir()
    write(package / "package.json", '{"name": "answer", "version": "1.2.3", "main": "index.js"}')
    write(package / "index.js", "module.exports = 42")
    shop = Shop()
    text = f"// npm: answer@file:{package}\nimport answer from 'answer';\n"
    text += "export function main() { return answer; }"
    shop.deploy(new_script("a.mjs", text, dedicated=True))
    job = a_job("a.mjs", '{"version": 1}', kind="dependencies")
    async with a_worker(shop, tmp_path) as worker:
        assert [*map(result, await worker.run(job))] == [f'["answer@file:{package}"]']
        assert [*map(result, await worker.run(script_job("a.mjs")))] == ["42"]


async def test_npm_names_what_it_cannot_install(tmp_path: Path) -> None:
    """As pip does."""
    shop = Shop()
    shop.deploy(new_script("a.mjs", f"// npm: nowhere@file:{tmp_path}/nowhere\n"))
    async with a_worker(shop, tmp_path) as worker:
        (outcome,) = await worker.run(script_job("a.mjs"))
    told = error(outcome).message
    assert told.startswith(f"requirement 'nowhere@file:{tmp_path}/nowhere' cannot be installed: ")


@pytest.mark.usefixtures("wheels")
async def test_another_process_that_installs_is_waited_for(tmp_path: Path) -> None:
    """What lies there of one that died is thrown away; what is whole by then is used."""
    shop = Shop()
    shop.deploy(new_script("a.py", f"# requirements: answer<2\n{ANSWER}"))
    async with a_worker(shop, tmp_path) as worker:
        await worker.run(script_job("a.py"))
    found = (tmp_path / "cache" / "packages").glob("*/installed.json")
    (done,) = (file for file in found if not file.parent.is_symlink())
    for whole in (False, True):
        text = done.read_text()
        done.unlink()
        (done.parent / "left").touch()
        with done.parent.with_suffix(".lock").open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            async with a_worker(shop, tmp_path) as worker, trio.open_nursery() as nursery:
                outcomes: list[Outcome] = []

                @nursery.start_soon
                async def waits(worker: Worker = worker, found: list[Outcome] = outcomes) -> None:
                    found.extend(await worker.run(script_job("a.py")))

                with trio.move_on_after(0.3) as patience:
                    while not outcomes:  # noqa: ASYNC110 - it must not come
                        await trio.sleep(0.05)
                assert patience.cancelled_caught
                if whole:
                    done.write_text(text)
                fcntl.flock(other, fcntl.LOCK_UN)
        assert [*map(result, outcomes)] == ["1"]
        assert (done.parent / "left").exists() is whole


async def test_a_job_that_names_no_version_fails(tmp_path: Path) -> None:
    """Or one that there is not."""
    async with a_worker(Shop(), tmp_path) as worker:
        runner = worker.runners["dependencies"]
        told = [
            error(await run(runner, a_job("a.py", args, kind="dependencies"))).message
            for args in ("{}", '{"version": 3}')
        ]
    assert told == [
        'the arguments are {"version": …}, of a script',
        "there is no version 3 of a deployed script 'a.py'",
    ]
