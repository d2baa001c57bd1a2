"""trackio's page and its reading interface, on 127.0.0.1 alone."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keel.envs.errors import KeelError
from keel.runners.dashboard.answers import SameAnswers

if TYPE_CHECKING:
    from keel.runners.dashboard.importer import Importer

HOST = "127.0.0.1"
FIRST_PORT, PORTS = 7860, 100  # trackio's own
START_SECONDS = 60.0
# What asks other machines, or reads and writes what is no run: the page lives without it.
REFUSED = frozenset({"get_registry_buckets", "get_registries", "get_registry_details"})


@contextlib.contextmanager
def serve(port: int | None, project: str, importer: Importer) -> Iterator[str]:
    """Serve a project from a thread; gives the address of the page.

    Args:
        port: None takes the first free one from 7860 on.
        project: what its runs are called together.
        importer: knows what there is.

    Raises:
        KeelError: the port is taken.
    """
    import uvicorn

    listener = _listen(port)
    settings = uvicorn.Config(
        _application(project, importer),
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield f"http://{HOST}:{listener.getsockname()[1]}/"
    finally:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a film that is being watched is cut off
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()


def _application(project: str, importer: Importer) -> Any:
    """trackio's application without whatever writes: the run folders are the truth, and this only shows them.

    Requests that come by another name than this machine's are refused, so that no page of the web can read runs
    through a name that it makes point here.
    """
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from trackio.frontend_config import BUNDLED_FRONTEND_DIR
    from trackio.server import WRITE_APIS, build_starlette_app_only

    application, _ = build_starlette_app_only(mcp_server=False, frontend_dir=str(BUNDLED_FRONTEND_DIR))
    state = application.state
    state.api_registry = {
        name: function for name, function in state.api_registry.items() if name not in WRITE_APIS | REFUSED
    }
    state.api_registry["get_all_projects"] = lambda: [project]
    state.api_registry["get_tab_availability"] = lambda: importer.tabs()  # trackio would look through all rows for it
    application.add_middleware(SameAnswers, version=lambda: importer.version)
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return application


def _listen(port: int | None) -> socket.socket:
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if port is not None:
                raise KeelError(
                    f"port {port} cannot be used: {error.strerror}; leave --port away for a free one"
                ) from None
        else:
            return listener
    raise KeelError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free; name another one with --port")


def _wait_until_started(server: Any, thread: threading.Thread) -> None:
    for _ in range(int(START_SECONDS / 0.01)):
        if server.started:
            return
        thread.join(timeout=0.01)
        if not thread.is_alive():
            break
    raise KeelError("the dashboard's server did not start; its message is above")
