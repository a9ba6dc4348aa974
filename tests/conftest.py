"""Shared by all tests: modules with annotated shapes are checked at run time, and tiny real networks are at hand."""

import errno
import fcntl
import os
import resource
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from jaxtyping import install_import_hook

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored

SOURCES = Path(__file__).parents[1] / "src"
SHAPED = [path for path in SOURCES.rglob("*.py") if "jaxtyping" in path.read_text(encoding="utf-8")]
install_import_hook(
    [".".join(path.relative_to(SOURCES).with_suffix("").parts) for path in SHAPED], "typechecking.check"
)

import pytest  # noqa: E402 - the hook must come before anything that imports the package
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

from tiny_model import TINY, make_tiny_model, randomised  # noqa: E402
from venhancer.models import KeyFrames, VideoControlNet, VideoUNet  # noqa: E402
from venhancer.runtime.priority import ordinary_priority  # noqa: E402

settings.register_profile("unhurried", deadline=None)  # machines are shared
settings.register_profile("fuzz", settings.get_profile("unhurried"), max_examples=1000)  # where no number is set
settings.load_profile("unhurried")


LONG = (
    "planning/test_out_of_memory.py",
    "training/test_interruptions.py",
    "jobs/test_resume.py",
    "tests/test_names_and_places.py",
    "training/test_distributed.py",
    "training/test_loop.py",
    "workers/test_workers.py",
    "tests/test_gpu_benchmark.py",
    "serving/test_runner.py",
    "tests/test_pipeline.py",
    "training/test_distillation.py",
    "models/test_compile.py",
    "fleet/test_shares.py",
    "fuzz/test_fuzz_sample.py",
    "integrations/test_comfyui.py",
)
"""Files that take minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long files begin first, so that no core waits for one that began last."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup():
    """Fixtures that encode AV1 by themselves leave the process as urgent as it was."""
    with ordinary_priority():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """Leave the process as urgent as it was after tests that encode AV1, and after their encoders are freed."""
    with ordinary_priority():
        return (yield)


@pytest.fixture(scope="session")
def tiny_unet() -> VideoUNet:
    return randomised(VideoUNet(**TINY))


@pytest.fixture(scope="session")
def tiny_controlnet() -> VideoControlNet:
    return randomised(VideoControlNet(**TINY))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of a real model that enhances a clip in seconds."""
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def small_files():
    """A block in which no file can grow beyond 100 bytes; ask for `capsys` too, or its files are hit as well."""

    @contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def windows(monkeypatch):
    """A file system with the rules of Windows: no folder is opened, and no open file is removed or renamed."""
    system_open, system_fsync, unlink, rename = os.open, os.fsync, os.unlink, os.replace

    def is_open(path) -> bool:
        descriptors = Path("/proc/self/fd").iterdir()
        return any(os.path.realpath(link) == os.path.realpath(path) for link in descriptors)

    def open_file(path, *arguments, **options) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return system_open(path, *arguments, **options)

    def flush(descriptor) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        system_fsync(descriptor)

    def closed_only(do):
        def checked(path, *arguments, **options):
            if is_open(path):
                raise PermissionError(errno.EACCES, "The file is used by another process", str(path))
            return do(path, *arguments, **options)

        return checked

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(shutil, "_use_fd_functions", False)  # chosen when Python starts: there, folders stay closed
    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "unlink", closed_only(unlink))
    monkeypatch.setattr(os, "replace", closed_only(rename))


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(2, 4, 5, 10, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def timesteps() -> torch.Tensor:
    return torch.tensor([500, 37])


@pytest.fixture
def text_embeds() -> torch.Tensor:
    return torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def key_frames() -> KeyFrames:
    return KeyFrames(
        latents=torch.randn(2, 4, 2, 10, 8, generator=torch.Generator().manual_seed(3)),
        mask=torch.tensor([[True, False, False, True, False], [True, True, False, False, False]]),
        noise_timesteps=torch.tensor([199, 0]),
        downscale_factor=torch.tensor([4.0, 2.5]),
    )
