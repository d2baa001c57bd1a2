"""A stand-in for the Weights & Biases service on 127.0.0.1: one that takes runs in, soon or late, refuses, fails,
is silent, or is gone."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

from .fake_wandb_artifacts import FakeArtifacts

Behaviour = Literal["accept", "deny", "forbid", "fail", "hang", "slow", "vanish"]
STATUS = {"deny": 401, "forbid": 403, "fail": 500}  # else 200
SLOW_SECONDS = 0.5  # before each answer of one that is slow


class FakeWandbServer:
    """Use as a context manager; `history` and `uploads` hold what arrived for the one run that it knows.

    Its `behaviour` can change at any time.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.run: dict[str, Any] = {}  # the variables of the mutation that made the run
        self.history: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self.artifacts = FakeArtifacts()
        self.views: list[dict[str, Any]] = []  # the variables of each workspace that was saved
        self.requests = 0
        self.bodies: list[bytes] = []
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        if path.startswith("/graphql"):
            return self._graphql(json.loads(body))
        if path.endswith("/file_stream"):
            for name, part in json.loads(body).get("files", {}).items():
                if name == "wandb-history.jsonl":
                    self.history += [json.loads(line) for line in part["content"]]
        if method == "PUT":
            self.uploads[path.removeprefix("/upload/")] = body
        return {}

    def _graphql(self, request: dict[str, Any]) -> dict[str, Any]:
        variables = request.get("variables") or {}
        project = {"id": "p", "name": "keel", "entity": {"id": "e", "name": "somebody"}}
        operation = re.search(r"(?:query|mutation) (\w+)", request["query"])
        match operation and operation[1]:
            case "UpsertBucket":
                self.run |= {name: value for name, value in variables.items() if value is not None}
                bucket = {
                    "id": "b",
                    "name": self.run["name"],
                    "displayName": self.run.get("displayName"),
                    "project": project,
                }
                bucket |= {"historyLineCount": len(self.history), "config": self.run.get("config", "{}")}
                return {"data": {"upsertBucket": {"bucket": bucket, "inserted": not self.history}}}
            case "RunResumeStatus":
                return {"data": {"model": project | {"bucket": self._known_run(variables["name"])}}}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
                return {"data": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}}
            case "UpsertView2":
                self.views.append(variables)
                view = {"id": "view", "name": variables["name"]}
                return {"data": {"upsertView": {"view": view, "inserted": True}}}
            case "Viewer":
                viewer = {"id": "v", "entity": "somebody", "username": "somebody", "email": None, "flags": "{}"}
                return {"data": {"viewer": viewer | {"teams": {"edges": []}}}}
            case _:
                return {"data": self.artifacts.answer(operation and operation[1], variables, self.url) or {}}

    def _known_run(self, name: str) -> dict[str, Any] | None:
        if not self.history or self.run.get("name") != name:
            return None
        lines = {"historyLineCount": len(self.history), "eventsLineCount": 0, "logLineCount": 0}
        tails = {"historyTail": json.dumps([json.dumps(self.history[-1])]), "eventsTail": "[]"}
        rest = {
            "summaryMetrics": "{}",
            "config": self.run.get("config", "{}"),
            "tags": [],
            "notes": None,
            "wandbConfig": '{"t": 1}',
        }
        return {"id": "b", "name": name, "displayName": name} | lines | tails | rest


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that was killed in the middle of a request


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeWandbServer

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.fake.requests += 1
        self.fake.bodies.append(body)
        behaviour = self.fake.behaviour
        if behaviour in ("hang", "vanish"):
            self.close_connection = True
            if behaviour == "hang":
                self.fake.closing.wait()
            return
        if behaviour == "slow":
            time.sleep(SLOW_SECONDS)
        status = STATUS.get(behaviour, 200)
        refusal = {"errors": [{"message": "permission denied"}]}
        answer = self.fake.answer(self.command, self.path, body) if status == 200 else refusal
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _handle

    def log_message(self, format: str, *args: Any) -> None:
        pass
