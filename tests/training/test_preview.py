"""Pictures of a run at work."""

from io import BytesIO

import numpy as np
from PIL import Image

from venhancer.training.preview import HEAD, LINE, ROWS_A_FRAME, as_png, motion_picture, sample_picture


def clips(frames: int = 9) -> dict[str, np.ndarray]:
    """Return three clips whose pixels tell the clip in red, the frame in green and the row in blue."""
    made = {}
    for number, name in enumerate(("input", "output", "target")):
        clip = np.zeros((frames, 6, 40, 3), dtype=np.uint8)
        clip[..., 0] = 50 * number
        clip[..., 1] = 10 * np.arange(frames)[:, None, None]
        clip[..., 2] = np.arange(6)[:, None]
        made[name] = clip
    return made


def test_a_grid_has_a_column_a_clip_and_rows_from_the_first_frame_to_the_last():
    picture = sample_picture(clips())
    assert picture.shape == (HEAD + LINE + 4 * 6 + 3 * LINE, 3 * 40 + 2 * LINE, 3)
    body = picture[HEAD + LINE :]
    assert [int(body[0, column, 0]) for column in (0, 42, 84)] == [0, 50, 100]
    assert [int(body[row, 0, 1]) for row in (0, 8, 16, 24)] == [0, 30, 50, 80]
    assert picture[:HEAD, :40].min() < 128, "the name is written in black"


def test_a_short_clip_shows_each_frame_once():
    assert sample_picture(clips(frames=2)).shape[0] == HEAD + LINE + 2 * 6 + LINE


def test_a_strip_is_the_middle_row_over_time():
    body = motion_picture(clips())[HEAD + LINE :]
    assert body.shape == (9 * ROWS_A_FRAME, 3 * 40 + 2 * LINE, 3)
    assert set(body[:, :40, 2].flatten()) == {3}
    assert body[::ROWS_A_FRAME, 0, 1].tolist() == [10 * frame for frame in range(9)]


def test_a_png_holds_the_same_pixels():
    picture = sample_picture(clips())
    with Image.open(BytesIO(as_png(picture))) as opened:
        assert opened.format == "PNG"
        assert np.array_equal(np.asarray(opened), picture)
