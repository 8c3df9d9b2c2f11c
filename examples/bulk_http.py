"""One request for many jobs: a chunk function in front of an HTTP API that takes lists.

Run as a program it is that API, too, and a client that waits for a hundred mails.
"""

import json
import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import trio

from trioworker import App, JobFailed, Retry, TrioworkerError, open_client

API = os.environ.get("MAIL_API", "http://127.0.0.1:8090/")

app = App()


@dataclass
class Mail:
    """The arguments of one job."""

    to: str
    text: str


@app.job(chunk=50, linger_s=0.1, timeout_s=60)
def send(mails: list[Mail]) -> list[str | Exception]:
    """Send up to 50 mails in one request; each job has its own answer."""
    try:
        answers = post([asdict(mail) for mail in mails])
    except (urllib.error.URLError, TimeoutError) as error:
        # All of them are tried again, maybe in other company.
        raise Retry(f"{API} is not there: {error}", delay_s=5) from error
    return [
        answer["sent"] if "sent" in answer else ValueError(answer["refused"]) for answer in answers
    ]


def post(mails: list[dict[str, str]]) -> list[dict[str, str]]:
    """One request."""
    body = json.dumps(mails).encode()
    with urllib.request.urlopen(API, body, timeout=30) as response:  # noqa: S310 - the address is ours
        answers: list[dict[str, str]] = json.load(response)
        return answers


# ---- the API, and a client that has mails to send ---------------------------------------------


class MailApi(BaseHTTPRequestHandler):
    """Takes a list of mails and returns a list of answers."""

    requests = 0

    def do_POST(self) -> None:
        """Refuse what is no address."""
        MailApi.requests += 1
        mails = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps([answer(mail["to"]) for mail in mails]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing of each request."""


def answer(to: str) -> dict[str, str]:
    """What becomes of one mail."""
    return {"sent": f"to {to}"} if "@" in to else {"refused": f"{to} is no address"}


@contextmanager
def serving() -> Iterator[None]:
    """The API is there for as long as the context lasts."""
    with ThreadingHTTPServer(("127.0.0.1", urlsplit(API).port or 80), MailApi) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


async def main(url: str) -> None:
    """Send a hundred mails, one of which has nowhere to go."""
    sent, refused = 0, []
    with serving():
        async with open_client(url, app=app) as client:
            people = ["nobody", *(f"reader{number}@example.org" for number in range(99))]
            jobs = [
                await client.enqueue("send", {"to": to, "text": "hello"}, awaited=True)
                for to in people
            ]
            for job in jobs:
                try:
                    await client.result(job, timeout_s=60)
                    sent += 1
                except JobFailed as failed:
                    refused.append(failed.reason)
    print(f"{sent} mails sent, refused: {', '.join(refused)}")
    print(f"{MailApi.requests} requests for {len(jobs)} jobs")


if __name__ == "__main__":
    address = os.environ.get("DATABASE_URL") or sys.exit("set DATABASE_URL to your PostgreSQL's")
    try:
        trio.run(main, address)
    except TrioworkerError as wrong:
        sys.exit(f"{wrong}\nis it there, and did you run `trioworker migrate`?")
