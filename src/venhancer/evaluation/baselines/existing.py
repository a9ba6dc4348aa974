"""Videos that exist as a baseline: made elsewhere, each named like the clip it was made of."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from venhancer.errors import InputError, JobFailed
from venhancer.evaluation.baselines.baseline import Request
from venhancer.frames.levels import Frames
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames


@dataclass(frozen=True, slots=True)
class ExistingVideos:
    """A folder of results.

    Args:
        folder: whose files are named like the clips, with any ending.
    """

    folder: Path

    def __call__(self, request: Request) -> Frames:
        """Return the frames of the file named like the clip.

        Raises:
            JobFailed: there is none, or it cannot be read.
        """
        files = sorted(file for file in self.folder.iterdir() if file.is_file() and file.stem == request.name)
        if not files:
            raise JobFailed(f"{self.folder} does not contain {request.name}; name its videos like the clips")
        try:
            return np.stack([*islice(read_frames(in_eight_bits(probe(files[0]))), request.frames + request.factor)])
        except InputError as error:
            raise JobFailed(str(error)) from error
