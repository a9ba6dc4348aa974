"""Where inputs and outputs lie: a folder here, or through fsspec one in an object store or on a web server.

What is written appears whole or not at all: it goes to a temporary name below `.venhancer-fleet/partial` and is moved.
A store that refuses for a while is asked again; what is missing is missing at once.
"""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec
from fsspec.core import split_protocol
from fsspec.implementations.local import LocalFileSystem

from venhancer.durable import flush_to_disk
from venhancer.errors import InputError, JobFailed

Answer = TypeVar("Answer")

OWN = ".venhancer-fleet"
"""Folder within a folder of outputs that holds all else: the job, the ledger, logs, and what is not whole yet."""
PARTIAL = f"{OWN}/partial"
READ_ONLY = ("http", "https")
EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
PATIENCE = 90.0  # seconds for which a store that refuses is asked again
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0  # seconds from one time to the next
FINAL = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class StoreFailed(JobFailed):
    """A store could not be read or written, although it was asked again and again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store says of a file: its bytes, and what changes when it is written again."""

    bytes: int
    version: str


class Store:
    """A folder at an address; names below it have slashes.

    Args:
        address: a path here, or `s3://bucket/folder`, `gs://...`, `https://...`, or any other that fsspec knows.
        patience: seconds for which a remote store that refuses is asked again.
        tell_waiting: called every second of that time.

    Raises:
        InputError: nothing here speaks that protocol; the message names the package.
    """

    def __init__(
        self, address: str, *, patience: float = PATIENCE, tell_waiting: Callable[[], None] = lambda: None
    ) -> None:
        protocol = split_protocol(address)[0] or "file"
        try:
            if protocol in ("file", "local"):
                self.fs, root = LocalFileSystem(), address.removeprefix(f"{protocol}://")
            else:
                options = {} if protocol == "memory" else {"use_listings_cache": False}
                self.fs, root = fsspec.url_to_fs(address, **options)
        except (ImportError, ValueError) as error:
            package = EXTRAS.get(protocol)
            remedy = f"run `pip install {package}`" if package else "give a folder or an address such as s3://bucket/in"
            raise InputError(f"{address}: nothing here reads {protocol}://; {remedy}") from error
        self.is_local = protocol in ("file", "local")
        self.is_read_only = protocol in READ_ONLY
        self.root = os.path.abspath(root) if self.is_local else root.rstrip("/")  # noqa: PTH100 - links stay
        self.address = self.root if self.is_local else f"{protocol}://{self.root.removeprefix(f'{protocol}://')}"
        self.patience = 0.0 if self.is_local else patience
        self.tell_waiting = tell_waiting

    def path(self, name: str) -> str:
        """Return a name as the file system takes it."""
        return f"{self.root}/{name}" if name else self.root

    def local(self, name: str) -> Path:
        """Return where a file of a local store lies."""
        return Path(self.root) / name

    def address_of(self, name: str) -> str:
        """Return the address of a file, which means the same in any folder."""
        return f"{self.address}/{name}" if name else self.address

    def describe(self, name: str = "") -> str:
        """Return a name as messages show it: from the current folder on, where it is below that."""
        address, here = self.address_of(name), f"{Path.cwd()}/"
        return address.removeprefix(here) if self.is_local else address

    def find(self, name: str) -> Stored | None:
        """Return what is known of a file; None if it is not there.

        Raises:
            StoreFailed: the store does not answer, or may not be asked.
        """
        try:
            return _stored(self._ask(lambda: self.fs.info(self.path(name)), name, "read"))
        except FINAL:
            return None

    def files(self, folder: str = "") -> dict[str, Stored]:
        """Return all files below a folder, by name; none if it is not there.

        Raises:
            StoreFailed: see `find`.
        """
        root = self.path(folder)
        try:
            found: Any = self._ask(lambda: self.fs.find(root, detail=True), folder, "read")
        except FINAL:
            return {}
        first = len(self.path("")) + 1
        return {path[first:] if path.startswith(self.root) else path: _stored(info) for path, info in found.items()}

    def read(self, name: str, start: int = 0) -> bytes:
        """Return the content of a file from a byte on.

        Raises:
            FileNotFoundError: there is none.
            StoreFailed: see `find`.
        """
        content: Any = self._ask(lambda: self.fs.cat_file(self.path(name), start=start or None), name, "read")
        return content

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to this machine; `target` appears whole.

        Raises:
            FileNotFoundError: there is none.
            StoreFailed: see `find`; or `target` cannot be written.
        """
        partial = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            self._ask(lambda: self.fs.get_file(self.path(name), os.fspath(partial)), name, "read")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, in place of an earlier one.

        Raises:
            StoreFailed: it cannot be written; an earlier one stays.
        """
        with self._placed(name) as (partial, place):
            if self.is_local:
                self._ask(lambda: Path(partial).write_bytes(content), name, "written")
            else:
                self._ask(lambda: self.fs.pipe_file(partial, content), name, "written")
            place()

    def put(self, source: Path, name: str, *, keep: bool = False) -> None:
        """Bring a file of this machine whole to a name; in a local store it is moved, unless it is to be kept.

        Raises:
            StoreFailed: see `write`.
        """
        with self._placed(name) as (partial, place):
            if self.is_local:
                bring = shutil.copyfile if keep else shutil.move
                self._ask(lambda: bring(source, partial), name, "written")
            else:
                self._ask(lambda: self.fs.put_file(os.fspath(source), partial), name, "written")
            place()

    def replace(self, name: str, content: bytes) -> None:
        """Write a file that a power cut may take: in one request to an object store, and here without flushing."""
        if self.is_local:
            with self._placed(name) as (partial, _):
                self._ask(lambda: Path(partial).write_bytes(content), name, "written")
                self._ask(lambda: Path(partial).replace(self.local(name)), name, "written")
        else:
            self._ask(lambda: self.fs.pipe_file(self.path(name), content), name, "written")

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that is in it, if it is there."""
        with suppress(*FINAL):
            self._ask(lambda: self.fs.rm(self.path(name), recursive=True), name, "read")

    def _placed(self, name: str) -> "_Placed":
        return _Placed(self, name)

    def _ask(self, do: Callable[[], Answer], name: str, what: str) -> Answer:
        """Return what the store answers, asking again as long as there is patience."""
        wait, until = FIRST_WAIT, time.monotonic() + self.patience
        while True:
            try:
                return do()
            except Exception as error:  # whatever the library of this store raises
                is_final = isinstance(error, FINAL)
                if is_final and what == "read":
                    raise
                if is_final or time.monotonic() + wait > until:
                    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
                    reason = reason or type(error).__name__
                    raise StoreFailed(f"{self.describe(name)} cannot be {what} ({reason})") from error
                self._wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tell_waiting()
            time.sleep(min(left, 1.0))


class _Placed:
    """A block that gives a temporary name and what moves it into place; if the block fails, nothing is left."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self.partial = store.path(f"{PARTIAL}/{secrets.token_hex(8)}{PurePosixPath(name).suffix[:16]}")

    def __enter__(self) -> tuple[str, Callable[[], None]]:
        if self.store.is_local:
            for path in (Path(self.partial), self.store.local(self.name)):
                self.store._ask(lambda path=path: path.parent.mkdir(parents=True, exist_ok=True), self.name, "written")
        return self.partial, self._place

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(Exception):
                self.store.fs.rm_file(self.partial)

    def _place(self) -> None:
        store, name = self.store, self.name
        if store.is_local:
            store._ask(lambda: _replace(Path(self.partial), store.local(name)), name, "written")
        else:
            store._ask(self._move, name, "written")

    def _move(self) -> None:
        fs, place = self.store.fs, self.store.path(self.name)
        with suppress(FileNotFoundError):  # moved by an earlier attempt, of which only the answer was lost
            fs.mv(self.partial, place)
            return
        if not fs.exists(place):
            raise OSError("the temporary file is gone")


def _replace(partial: Path, place: Path) -> None:
    flush_to_disk(partial)
    partial.replace(place)
    flush_to_disk(place.parent)


def _stored(info: dict[str, Any]) -> Stored:
    size = int(info.get("size") or 0)
    version = (
        info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified") or info.get("created")
    )
    return Stored(size, f"{size}-{str(version).strip(chr(34))}")


def part_address(address: str) -> tuple[str, str]:
    """Return an address as the folder and the name of what lies there."""
    folder, _, name = address.rpartition("/")
    return folder or ("/" if address.startswith("/") else "."), name


def open_file_at(address: str, *, tell_waiting: Callable[[], None] = lambda: None) -> tuple[Store, str]:
    """Return the store and the name of the file at an address.

    Args:
        address: of the file.
        tell_waiting: see `Store`.

    Raises:
        InputError: see `Store`.
    """
    folder, name = part_address(address)
    return Store(folder, tell_waiting=tell_waiting), name


def is_remote(address: str) -> bool:
    """Tell whether an address names a protocol other than that of files here."""
    return (split_protocol(address)[0] or "file") not in ("file", "local")


def absolute(address: str) -> str:
    """Return an address that means the same in any folder."""
    if is_remote(address):
        return address.rstrip("/")
    return os.path.abspath(address.removeprefix("file://"))  # noqa: PTH100 - links in it are the user's


def walk(addresses: list[str]) -> Iterator[Stored | None]:
    """Yield what is known of each file; folders that hold many of them are looked through once."""
    by_folder: dict[str, dict[str, Stored]] = {}
    counts: dict[str, int] = {}
    for address in addresses:
        folder = part_address(address)[0]
        counts[folder] = counts.get(folder, 0) + 1
    for address in addresses:
        folder, name = part_address(address)
        store = Store(folder)
        if is_remote(address) and counts[folder] > 1 and not store.is_read_only:
            if folder not in by_folder:
                by_folder[folder] = {each: found for each, found in store.files().items() if "/" not in each}
            yield by_folder[folder].get(name)
        else:
            yield store.find(name)
