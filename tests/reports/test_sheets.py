"""Pictures hold what they are made of, where it belongs, at sizes that can be foretold."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageColor

from venhancer.errors import JobFailed
from venhancer.reports.sheets import (
    ACCENT,
    GROUND,
    LARGEST_SIDE,
    Box,
    as_file,
    busiest_box,
    contact_sheet,
    disputed_box,
    liveliest_row,
    motion_strips,
    save_picture,
    stills,
)

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def plain(colour, height=30, width=40):
    return np.full((height, width, 3), colour, dtype=np.uint8)


def has(picture, colour):
    colour = ImageColor.getrgb(colour) if isinstance(colour, str) else colour
    return int((picture == np.array(colour, dtype=np.uint8)).all(axis=-1).sum())


def test_a_sheet_shows_every_picture_at_the_same_width():
    """Pictures of other sizes are brought to the cell: 40x30 and 80x60 both fill 100x75."""
    sheet = contact_sheet([[plain(RED), plain(GREEN, 60, 80)], [plain(BLUE), None]], cell_width=100)
    assert [has(sheet, colour) for colour in (RED, GREEN, BLUE)] == [100 * 75] * 3


def test_rows_and_columns_lie_where_their_headings_say():
    sheet = contact_sheet([[plain(RED), plain(GREEN)]], rows=["clip"], columns=["1", "3"], cell_width=100)
    (_, red), (_, green) = (np.argwhere((sheet == colour).all(axis=-1)).min(axis=0) for colour in (RED, GREEN))
    assert green - red == 100 + 8
    assert red > 40, "the gutter of the row headings"


def test_words_take_room_and_are_drawn():
    bare = contact_sheet([[plain(RED)]], cell_width=200)
    told = contact_sheet([[plain(RED)]], title="Guidance", columns=["1"], captions=[["30 dB"]], cell_width=200)
    assert told.shape[0] > bare.shape[0]
    assert has(told, GROUND) < told.shape[0] * told.shape[1] - 200 * 150
    assert has(bare, GROUND) == bare.shape[0] * bare.shape[1] - 200 * 150


def test_long_headings_wrap_and_never_leave_the_sheet():
    long = "a heading far longer than its picture, with_a_word_that_alone_is_wider_than_the_column_it_stands_above"
    sheet = contact_sheet([[plain(RED)]], columns=[long], title=long, cell_width=120)
    edge = np.concatenate([sheet[:, -10:].reshape(-1, 3), sheet[:, :10].reshape(-1, 3)])
    assert (edge == ImageColor.getrgb(GROUND)).all()
    assert sheet.shape[1] == 120 + 2 * 20


def test_a_crop_is_framed_and_shown_enlarged():
    """The blue quarter of the picture fills the cell below it, but for the frame around it."""
    picture = plain(RED)
    picture[15:, 20:] = BLUE
    sheet = contact_sheet([[picture]], crop=Box(0.5, 0.5, 0.5, 0.5), cell_width=200)
    assert has(sheet, ACCENT) > 2 * (200 + 150)
    enlarged = sheet[-20 - 150 + 2 : -20 - 2, 20 + 2 : -20 - 2]
    assert has(enlarged, BLUE) == enlarged.shape[0] * enlarged.shape[1]


def test_each_row_may_have_its_own_crop():
    halves = plain(RED)
    halves[:, 20:] = BLUE
    left, right = Box(0, 0, 0.5, 0.5), Box(0.5, 0, 0.5, 0.5)
    sheet = contact_sheet([[halves], [halves]], crop=[left, right], cell_width=80)
    same = contact_sheet([[halves], [halves]], crop=left, cell_width=80)
    assert has(sheet, BLUE) > has(same, BLUE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pictures": []},
        {"pictures": [[]]},
        {"pictures": [[plain(RED)], [plain(RED), plain(RED)]]},
        {"pictures": [[plain(RED)]], "rows": ["a", "b"]},
        {"pictures": [[plain(RED)]], "columns": ["a", "b"]},
        {"pictures": [[plain(RED)]], "captions": [["a", "b"]]},
        {"pictures": [[plain(RED)]], "crop": [Box(0, 0, 1, 1)] * 2},
    ],
)
def test_what_does_not_fit_together_is_refused(wrong):
    with pytest.raises(ValueError, match=r"sheet needs|do not match|needs a caption"):
        contact_sheet(**wrong)


def test_enlarging_shows_pixels_as_they_are():
    """No colour comes in that was not there, unless a pixel's edge falls within an output pixel."""
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    sheet = contact_sheet([[picture]], cell_width=80)
    np.testing.assert_array_equal(sheet[20:-20, 20:-20], picture.repeat(10, axis=0).repeat(10, axis=1))


def test_stills_take_the_frames_asked_for():
    clip = np.stack([plain(colour) for colour in (RED, GREEN, BLUE)])
    picture = stills({"input": clip, "result": clip.repeat(2, axis=1)}, [0, 2], cell_width=40)
    assert has(picture, RED) == has(picture, BLUE) == 40 * 30 + 40 * 60
    assert has(picture, GREEN) == 0


def test_strips_show_time_downwards_at_equal_height():
    """A clip of two frames and one of four, each half red and half blue in time, look the same."""
    short = np.stack([plain(RED), plain(BLUE)])
    strips = motion_strips({"held": short, "made": short.repeat(2, axis=0)}, width=100)
    assert has(strips, RED) == has(strips, BLUE) == 2 * 100 * 60
    column = strips[:, -21]
    order = [tuple(int(level) for level in pixel) for pixel in column if tuple(pixel) in (RED, BLUE)]
    assert order == ([RED] * 60 + [BLUE] * 60) * 2


def test_the_busiest_part_is_where_detail_is():
    picture = plain((90, 90, 90), 60, 80)
    picture[40:56, 50:70] = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    box = busiest_box(picture, share=0.3)
    left, top, right, bottom = box.edges(80, 60)
    assert left <= 52
    assert top <= 40
    assert right >= 68
    assert bottom >= 54
    assert box.cut(picture).shape == (bottom - top, right - left, 3)


def test_the_disputed_part_is_where_pictures_differ_most_and_has_whole_pixels():
    pictures = [plain((90, 90, 90), 67, 91) for _ in range(3)]
    pictures[1][40:52, 50:65] = 120
    pictures[2][3:9, 5:12] = 99
    assert disputed_box(pictures, 15, 12).edges(91, 67) == (50, 40, 65, 52)
    assert disputed_box(pictures, 200, 300).edges(91, 67) == (0, 0, 91, 67)


def test_the_liveliest_row_is_where_things_move():
    clip = np.stack([plain((90, 90, 90))] * 4)
    clip[1::2, 21] = 200
    assert int(liveliest_row(clip) * 30) == 21
    assert liveliest_row(clip[:1]) == 0.5


def test_saved_pictures_are_read_back(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    with Image.open(save_picture(picture, tmp_path / "a.png")) as read:
        np.testing.assert_array_equal(np.asarray(read), picture)
    with Image.open(save_picture(plain(RED), tmp_path / "a.jpg")) as read:
        assert read.size == (40, 30)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jpg", "a.png"]


def test_too_long_a_picture_is_made_smaller():
    assert Image.open(BytesIO(as_file(plain(RED, 2, 2 * LARGEST_SIDE)))).size == (LARGEST_SIDE, 1)


def test_other_endings_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"pictures are \.png, \.jpg, \.jpeg, not \.gif"):
        save_picture(plain(RED), tmp_path / "a.gif")
    with pytest.raises(JobFailed, match="could not be written"):
        save_picture(plain(RED), tmp_path / "missing" / "a.png")
