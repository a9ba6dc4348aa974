"""`venhancer ui` and `venhancer serve`: their flags, and one call of the library for each."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from venhancer.cli.flags import add_command, add_device_flags
from venhancer.cli.terminal import Terminal
from venhancer.errors import SettingsError
from venhancer.model_files.folders import cache_folder
from venhancer.planning.machine import find_machine
from venhancer.settings import parse_memory

if TYPE_CHECKING:
    from venhancer.serving.runner import Runner

PORT = 7860


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    page = add_command(commands, "ui", _page, "", "Open a page to enhance clips in a browser.")
    page.add_argument("--no-browser", action="store_true", help="Show the address only.")
    _add_flags(page)
    api = add_command(commands, "serve", _api, "", "Answer programs over HTTP, and browsers with the page.")
    api.add_argument("--token", metavar="TEXT", help="Bearer token that programs send.")
    api.add_argument("--no-page", action="store_true", help="Leave the page out.")
    _add_flags(api)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    """Add what every server takes."""
    group = parser.add_argument_group("the server")
    group.add_argument("--host", metavar="NAME", default="127.0.0.1", help="Address to listen at; default 127.0.0.1.")
    group.add_argument("--port", metavar="N", type=int, default=PORT, help=f"Port to listen at; default {PORT}.")
    group.add_argument("--auth", metavar="NAME:PASSWORD", help="Ask for this; needed for other hosts than this one.")
    group.add_argument("--folder", metavar="FOLDER", type=Path, help="Where jobs are kept; else in the cache.")
    group.add_argument("--inputs", metavar="FOLDER", type=Path, help="Folder of files that may be chosen by name.")
    group.add_argument("--models", metavar="FOLDER", nargs="+", default=[], help="Model folders offered beside nano.")
    group.add_argument("--most-upload", metavar="SIZE", default="10GB", help="Largest upload; default 10GB.")
    group.add_argument("--most-waiting", metavar="N", type=int, default=100, help="Jobs that may wait; default 100.")
    add_device_flags(parser)


def _page(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        SettingsError: a flag cannot be, the address is taken, or gradio is missing.
        InputError: a folder cannot be used.
    """
    try:
        from venhancer.page.toolkit import import_gradio

        import_gradio()
        from venhancer.page.page import mount_page
        from venhancer.web.guard import choose_access
        from venhancer.web.server import address_of, check_address, new_app, serve
    except ModuleNotFoundError as error:
        raise SettingsError(f"the page needs {error.name}; run pip install 'venhancer[ui]'") from error
    most_bytes = _bytes(arguments.most_upload)
    access = choose_access(arguments.host, login=arguments.auth)
    check_address(arguments.host, arguments.port)
    with _runner(arguments).running() as runner:
        app = new_app(runner, access, most_bytes=most_bytes)
        mount_page(app, runner, most_bytes=most_bytes, machine=(arguments.device, arguments.dtype))
        address = address_of(arguments.host, arguments.port)
        Terminal().show_line(f"open {address} (Ctrl-C ends; jobs go on at the next start)")
        serve(app, arguments.host, arguments.port, opened=None if arguments.no_browser else address)


def _api(arguments: argparse.Namespace) -> None:
    """Serve the API, and the page if gradio is there, until Ctrl-C.

    Raises:
        SettingsError: a flag cannot be, the address is taken, or FastAPI is missing.
        InputError: a folder cannot be used.
    """
    try:
        from venhancer.api.app import make_api
        from venhancer.web.guard import choose_access
        from venhancer.web.server import address_of, check_address, serve
    except ModuleNotFoundError as error:
        raise SettingsError(f"the API needs {error.name}; run pip install 'venhancer[serve]'") from error
    most_bytes, machine = _bytes(arguments.most_upload), find_machine(arguments.device, arguments.dtype)
    access = choose_access(arguments.host, login=arguments.auth, token=arguments.token)
    check_address(arguments.host, arguments.port)
    with _runner(arguments).running() as runner:
        app = make_api(runner, access, most_bytes=most_bytes, machine=machine)
        if not arguments.no_page and find_spec("gradio") is not None:
            from venhancer.page.toolkit import import_gradio

            import_gradio()
            from venhancer.page.page import mount_page

            mount_page(app, runner, most_bytes=most_bytes, machine=(arguments.device, arguments.dtype))
        address = address_of(arguments.host, arguments.port)
        Terminal().show_line(f"listening at {address}v1/videos; the schema is {address}openapi.json")
        serve(app, arguments.host, arguments.port)


def _runner(arguments: argparse.Namespace) -> "Runner":
    """Return the runner that the flags ask for.

    Raises:
        InputError: a folder cannot be used.
        WeightsError: a model is not there.
    """
    from venhancer.serving.runner import Runner
    from venhancer.serving.store import JobStore

    folder = arguments.folder or cache_folder() / "jobs"
    store = JobStore(folder, inputs=arguments.inputs, models=arguments.models)
    return Runner(store, (arguments.device,), arguments.dtype, most_waiting=arguments.most_waiting)


def _bytes(size: str) -> int:
    """Return the bytes that a flag means.

    Raises:
        SettingsError: it is no amount.
    """
    try:
        return parse_memory(size)
    except ValueError as error:
        raise SettingsError(f"--most-upload {size} {error}; pass an amount such as 500MB or 10GB") from error
