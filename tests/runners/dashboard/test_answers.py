"""An answer is given again only to the same question, and only while nothing has changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keel.runners.dashboard.answers import KEPT, SameAnswers


class Server:
    """Answers with what it was asked and how often it was asked before."""

    def __init__(self) -> None:
        self.asked = 0
        self.version = 0
        self.application = SameAnswers(self._answer, version=lambda: self.version)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        self.asked += 1
        status = 500 if body.startswith(b"wrong") else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body + b" %d" % self.asked})

    def ask(self, body: bytes, path: str = "/api/get_logs_batch", encoding: bytes = b"br") -> bytes:
        """The question arrives in two pieces."""
        pieces = [{"body": body[2:], "more_body": False}, {"body": body[:2], "more_body": True}]
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", **pieces.pop()}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": path, "headers": [(b"accept-encoding", encoding)]}
        asyncio.run(self.application(scope, receive, send))
        return sent[1]["body"]


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_same_question_gets_the_same_answer(server: Server) -> None:
    assert [server.ask(b"one run"), server.ask(b"one run")] == [b"one run 1", b"one run 1"]
    assert server.ask(b"two runs") == b"two runs 2"
    assert server.ask(b"one run") == b"one run 1"
    assert server.ask(b"one run", path="/api/get_logs") == b"one run 3"
    assert server.ask(b"one run", encoding=b"gzip") == b"one run 4"


def test_a_change_makes_answers_old(server: Server) -> None:
    server.ask(b"one run")
    server.version = 1
    assert [server.ask(b"one run"), server.ask(b"one run")] == [b"one run 2", b"one run 2"]


def test_a_change_while_it_is_asked_makes_the_answer_old(server: Server) -> None:
    answer = server._answer

    async def change(*arguments: Any) -> None:
        server.version += 1
        await answer(*arguments)

    server.application = SameAnswers(change, version=lambda: server.version)
    assert [server.ask(b"one run"), server.ask(b"one run")] == [b"one run 1", b"one run 2"]


def test_what_is_not_made_of_rows_is_asked_every_time(server: Server) -> None:
    path = "/api/get_run_mutation_status"
    assert [server.ask(b"", path), server.ask(b"", path)] == [b" 1", b" 2"]


def test_few_answers_are_kept(server: Server) -> None:
    for count in range(KEPT + 1):
        server.ask(b"question %d" % count)
    assert server.ask(b"question 1") == b"question 1 2"
    assert server.ask(b"question 0") == b"question 0 %d" % (KEPT + 2)


def test_errors_are_not_kept(server: Server) -> None:
    assert [server.ask(b"wrong run"), server.ask(b"wrong run")] == [b"wrong run 1", b"wrong run 2"]
