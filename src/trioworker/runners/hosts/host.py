"""Host of a python script: calls its `main` for one job after the other, or once.

    python host.py JOBS_FD REPLIES_FD SCRIPT
    python host.py once SCRIPT

The second form finds the arguments where a script of its own does, and puts there what comes of
them. A function `preprocess` of the script makes of its arguments those of its `main`.

Rule of this file: the standard library only, so that a start costs little and the script finds
its interpreter as it would without us. Every reply is written before the next job begins: when
the process dies, the first unanswered job is the one that was running.
"""

import asyncio
import importlib.util
import inspect
import io
import json
import os
import re
import select
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple, TextIO

READ_BYTES: Final = 1 << 20
LOG_CHARS_HELD_MAX: Final = 4096
MODULE_NAME: Final = "dedicated_script"
CANCEL: Final = b'{"cancel":'
RESULT: Final = '"result":'
SHARED: Final = "TRIOWORKER_SHARED"
ID_AT_START: Final = re.compile(rb'^\{"id":(\d+)')

_dumps: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode

Message = dict[str, Any]


class Refused(Exception):
    """The script can never run here, however often it is started."""


class Host:
    """The process's side of the protocol."""

    def __init__(self, jobs_fd: int, replies_fd: int) -> None:
        self._jobs_fd = jobs_fd
        self._replies_fd = replies_fd
        self._poll = select.poll()
        self._poll.register(jobs_fd, select.POLLIN)
        self._lines: deque[bytes] = deque()
        self._begun: list[bytes] = []
        self._cancelled: set[int] = set()
        self._writing = threading.Lock()
        self._last = 0
        self._running = 0
        for fd in (jobs_fd, replies_fd):
            os.set_inheritable(fd, False)  # noqa: FBT003 - it takes no keywords

    def serve(self, run: Callable[[Message], str]) -> None:
        """Answer jobs until no more can come; `run` returns the body of a reply."""
        log = LogStream(self, sys.stdout)
        sys.stdout = sys.stderr = log
        self._send('{"ready":true}')
        while (line := self._next_line()) is not None:
            message = parsed(line)
            self._last = self._running = message["id"]
            body = self._body(run, message)
            log.flush()
            self._send(f'{{"id":{self._running},{body}}}')
            self._running = 0

    def cannot_start(self, how: str, error: BaseException) -> None:
        """Say why: `how` is "refused" when it is for good, "failed" when another try may help."""
        self._send(_dumps({how: described(error)}))

    def send_log(self, text: str) -> None:
        """Pass on what the running job has written."""
        self.send({"id": self._running, "log": text})

    def send(self, message: Message) -> None:
        """Send a line of our own."""
        self._send(_dumps(message))

    def _body(self, run: Callable[[Message], str], message: Message) -> str:
        if self._running in self._cancelled:
            self._cancelled.discard(self._running)
            return '"dropped":true'
        if "unreadable" in message:
            return error_text("InvalidArguments", message["unreadable"])
        try:
            return run(message)
        except BaseException as error:  # noqa: BLE001 - exit() ends the job, not the process
            return error_body(error)

    def _next_line(self) -> bytes | None:
        """The next job; None at the end. Looks for cancellations before it hands one out."""
        if self._lines and self._poll.poll(0) and not self._read():
            return None
        while not self._lines:
            if not self._read():
                return None
        return self._lines.popleft()

    def _read(self) -> bool:
        chunk = os.read(self._jobs_fd, READ_BYTES)
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._begun, lines[0]))
            self._begun.clear()
        if rest:
            self._begun.append(rest)
        for line in lines:
            self._receive(line)
        return bool(chunk)

    def _receive(self, line: bytes) -> None:
        if not line.startswith(CANCEL):
            self._lines.append(line)
        elif (job := json.loads(line)["cancel"]) > self._last:
            self._cancelled.add(job)

    def _send(self, line: str) -> None:
        data = memoryview(f"{line}\n".encode("utf-8", "replace"))
        with self._writing:
            while data:
                data = data[os.write(self._replies_fd, data) :]


class LogStream(io.TextIOBase):
    """Stands in for stdout and stderr: whole lines go out at once, so a crash loses none."""

    encoding = "utf-8"

    def __init__(self, host: Host, original: TextIO) -> None:
        self._host = host
        self._original = original
        self._held = ""
        self._holding = threading.Lock()

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """For programs that the script starts: their output bypasses this stream."""
        return self._original.fileno()

    @property
    def buffer(self) -> BinaryIO:
        """For bytes, which bypass this stream too."""
        return self._original.buffer

    def write(self, text: str) -> int:
        """Hold `text` back until its line is whole."""
        with self._holding:
            self._held += text
            whole = "\n" in text or len(self._held) > LOG_CHARS_HELD_MAX
        if whole:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Pass on all that is held."""
        if self._held:
            with self._holding:
                held, self._held = self._held, ""
            self._host.send_log(held)


def parsed(line: bytes) -> Message:
    """The message in a line, or {"id", "unreadable": why}: Python reads less than all of JSON."""
    try:
        message: Message = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"id": int(ID_AT_START.findall(line)[0]), "unreadable": str(error)}
    return message


def result_body(value: object) -> str:
    """The reply to a job that returned `value`."""
    try:
        text = _dumps(value)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        kind = type(value).__name__
        message = f"main returned a {kind} that cannot be written as JSON: {error}"
        return error_text("UnserializableResult", message)
    return RESULT + text


def error_body(error: BaseException) -> str:
    """The reply to a job that raised."""
    kinds = [kind.__name__ for kind in type(error).__mro__[1:-1]]
    return f'"error":{_dumps(described(error))},"kinds":{_dumps(kinds)}'


def error_text(name: str, message: str) -> str:
    """The reply to a job that failed for a reason of ours."""
    return f'"error":{_dumps({"name": name, "message": message})}'


def described(error: BaseException) -> Message:
    """Name, message and traceback, which begins in the user's own code."""
    frames = _users_frames(error.__traceback__)
    trace = traceback.TracebackException(type(error), error, frames, compact=True)
    return {
        "name": type(error).__name__,
        "message": _text_of(error),
        "traceback": "".join(trace.format()),
    }


class Functions(NamedTuple):
    """What is called of a script."""

    main: Callable[..., object]
    preprocess: Callable[[Any], object] | None = None


def load(script: Path) -> Functions:
    """Import the script and return its functions. Raises what the script raises, or `Refused`."""
    sys.path[:] = [str(script.parent), *(p for p in sys.path if p != str(Path(__file__).parent))]
    spec = importlib.util.spec_from_file_location(MODULE_NAME, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    spec.loader.exec_module(module)
    main, preprocess = (getattr(module, name, None) for name in ("main", "preprocess"))
    if not callable(main):
        who = "one that preprocesses" if callable(preprocess) else "a dedicated script"
        raise Refused(f"{script.name} defines no function main; {who} needs one")
    return Functions(main, preprocess if callable(preprocess) else None)


def calling(functions: Functions, loop: asyncio.Runner) -> Callable[[Message], str]:
    """How a job becomes a call."""

    def run(message: Message) -> str:
        share(message.get("shared"))
        if functions.preprocess is None:
            return called(functions.main, message["args"], loop)
        made = returned(functions.preprocess(message["args"]), loop)
        text = preprocessed(made)
        try:
            body = called(functions.main, json.loads(text), loop)
        except BaseException as error:  # noqa: BLE001 - as when there is nothing to preprocess
            body = error_body(error)
        return f'"preprocessed":{text},{body}'

    return run


def share(folder: str | None) -> None:
    """Tell the script where the folder is that the job shares with others, if it does."""
    if folder is not None:
        os.environ[SHARED] = folder
    else:
        os.environ.pop(SHARED, None)


def called(main: Callable[..., object], args: object, loop: asyncio.Runner) -> str:
    """The reply to a call: an object's members go by keyword, an array's by position."""
    if isinstance(args, dict):
        result = main(**args)
    elif isinstance(args, list):
        result = main(*args)
    else:
        wrong = f"the arguments must be a JSON object or array, not {_dumps(args)[:100]}"
        return error_text("InvalidArguments", wrong)
    return result_body(returned(result, loop))


def returned(result: Any, loop: asyncio.Runner) -> object:  # noqa: ANN401 - whatever it is
    """What a call has come to, once it has."""
    return loop.run(result) if inspect.iscoroutine(result) else result


def preprocessed(made: object) -> str:
    """What `preprocess` returned, as JSON. Raises `ValueError` when no call can be made of it."""
    if not isinstance(made, dict | list | tuple):
        kind = type(made).__name__
        raise ValueError(f"preprocess returned a {kind}; it returns the arguments of main")  # noqa: TRY004 - its value is wrong
    return _dumps(made)


def run_once(script: Path) -> None:
    """Call its functions for one job, as the environment says."""
    args = json.loads(Path(os.environ["TRIOWORKER_ARGS"]).read_text("utf-8"))
    try:
        functions = load(script)
        with asyncio.Runner() as loop:
            if functions.preprocess is not None:
                text = preprocessed(returned(functions.preprocess(args), loop))
                Path(os.environ["TRIOWORKER_PREPROCESSED"]).write_text(text, "utf-8")
                args = json.loads(text)
            body = called(functions.main, args, loop)
    except Exception as error:  # noqa: BLE001 - its traceback begins in the user's code
        sys.exit(described(error)["traceback"])
    if not body.startswith(RESULT):
        said = json.loads(f"{{{body}}}")["error"]
        sys.exit(f"{said['name']}: {said['message']}")
    Path(os.environ["TRIOWORKER_RESULT"]).write_text(body.removeprefix(RESULT), "utf-8")


def _users_frames(frames: TracebackType | None) -> TracebackType | None:
    ours = (__file__, "<frozen importlib", asyncio.__path__[0])
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(ours):
        frames = frames.tb_next
    return frames


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - an exception's __str__ is the user's code
        return f"(its text could not be read: {type(second).__name__})"


def main() -> None:
    """Load the script, then serve."""
    if sys.argv[1] == "once":
        script = Path(sys.argv[2])
        sys.argv[:] = [str(script)]
        run_once(script)
        return
    host, script = Host(int(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3])
    sys.argv[:] = [str(script)]
    try:
        functions = load(script)
    except (Refused, SyntaxError) as error:
        host.cannot_start("refused", error)
    except BaseException as error:  # noqa: BLE001 - the worker decides what follows
        host.cannot_start("failed", error)
    else:
        with asyncio.Runner() as loop:
            host.serve(calling(functions, loop))


if __name__ == "__main__":
    main()
