"""A server over the jobs of a runner: guarded, with what a job shows; the API and the page add their routes."""

import socket
import webbrowser
from contextlib import suppress
from threading import Timer

import uvicorn
from fastapi import FastAPI

from venhancer.errors import SettingsError
from venhancer.serving.runner import Runner
from venhancer.web.files import job_files
from venhancer.web.guard import Access, Guard, is_loopback

OPENED_AFTER = 1.0  # seconds


def new_app(runner: Runner, access: Access, *, most_bytes: int, **options: object) -> FastAPI:
    """Return a server without pages.

    Args:
        runner: running while requests come.
        access: who may call.
        most_bytes: of an upload.
        options: of FastAPI.
    """
    app = FastAPI(**({"openapi_url": None} | options))  # pyright: ignore[reportArgumentType]
    app.include_router(job_files(runner.store))
    app.add_middleware(Guard, access=access, most_bytes=most_bytes)
    app.state.runner = runner
    return app


def serve(app: FastAPI, host: str, port: int, *, opened: str | None = None) -> None:
    """Answer requests until Ctrl-C.

    Args:
        app: the server.
        host: to listen at.
        port: likewise.
        opened: address that a browser is sent to once the server listens.

    Raises:
        SettingsError: the address is taken or is none of this machine.
    """
    check_address(host, port)
    if opened is not None:
        Timer(OPENED_AFTER, webbrowser.open, [opened]).start()
    with suppress(KeyboardInterrupt):
        uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=3)


def check_address(host: str, port: int) -> None:
    """Raise unless a server can listen there.

    Raises:
        SettingsError: see `serve`.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        raise SettingsError(f"{host}:{port} cannot be listened at ({error.strerror}); pass another --port") from error


def address_of(host: str, port: int) -> str:
    """Return what a browser on this machine takes to get there."""
    shown = host if is_loopback(host) else "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
