"""Sound: copied bit for bit where it can be, said where it cannot, and never out of step."""

from fractions import Fraction

import av
import pytest

from media.clips import make_clip, packets_of
from venhancer.errors import InputError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.tracks import plan_tracks
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing

SOURCES = {
    "aac.mp4": {"sound": "aac"},
    "late.mp4": {"sound": "aac", "sound_delay": Fraction(1, 2)},
    "mp3.mkv": {"sound": "libmp3lame"},
    "pcm.avi": {"sound": "pcm_s16le", "codec": "mpeg4"},
    "opus.mkv": {"sound": "libopus"},
    "flac.mkv": {"sound": "flac"},
    "ac3.mkv": {"sound": "ac3"},
    "pcm.mov": {"sound": "pcm_s24le"},
    "mp2.mpg": {"sound": "mp2", "codec": "mpeg2video"},
    "aac.ts": {"sound": "aac"},
    "low.avi": {"sound": "pcm_u8", "codec": "mpeg4", "sound_rate": 11025},
    "high.mkv": {"sound": "pcm_s16le", "sound_rate": 192000},
}
PLANS = {  # for .mp4, .mov, .mkv
    "aac": ("copy", "copy", "copy"),
    "mp3": ("copy", "copy", "copy"),
    "ac3": ("copy", "copy", "copy"),
    "opus": ("copy", "aac", "copy"),
    "flac": ("copy", "aac", "copy"),
    "mp2": ("aac", "aac", "copy"),
    "pcm_s16le": ("aac", "copy", "copy"),
    "pcm_s24le": ("aac", "copy", "copy"),
    "pcm_u8": ("aac", "aac", "flac"),
}


def sound_times(path, start: Fraction) -> tuple[Fraction, Fraction]:
    """Return when the decoded sound begins and ends, in seconds from the first picture."""
    with av.open(str(path)) as container:
        frames = [(frame.pts * frame.time_base, frame.samples / frame.rate) for frame in container.decode(audio=0)]
    return frames[0][0] - start, frames[-1][0] + Fraction(frames[-1][1]) - start


@pytest.fixture(scope="module", params=SOURCES)
def clip(request, tmp_path_factory):
    return probe(
        make_clip(tmp_path_factory.mktemp("sound") / request.param, frames=50, rate=25, **SOURCES[request.param])
    )


@pytest.mark.parametrize(("place", "suffix"), enumerate([".mp4", ".mov", ".mkv"]))
def test_sound_is_carried_as_planned_and_in_step(tmp_path, clip, place, suffix):
    target = tmp_path / f"out{suffix}"
    (fate,) = (plan for plan in plan_tracks(clip.tracks, suffix) if plan.track.kind == "audio")
    plan = "copy" if fate.action == "copied" else fate.codec
    assert plan == PLANS[clip.audio_codec][place]
    write_video(target, read_frames(clip), Writing(width=64, height=48, rate=clip.rate), clip)
    result = probe(target)
    assert result.audio_codec == (clip.audio_codec if plan == "copy" else plan)
    if plan == "copy" and clip.path.suffix != ".ts":  # a transport stream wraps each packet in a header of its own
        assert packets_of(target, "audio") == packets_of(clip.path, "audio")
    before, after = sound_times(clip.path, clip.start), sound_times(target, result.start)
    frame = Fraction(1, 10) if clip.path.name == "low.avi" else Fraction(1, 40)  # of sound, as AAC counts
    assert abs(after[0] - before[0]) <= frame
    assert abs(after[1] - before[1]) <= frame
    assert result.duration == clip.duration == 2


def test_silent_clip_stays_silent(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4"))
    target = write_video(tmp_path / "b.mp4", read_frames(clip), Writing(width=64, height=48, rate=clip.rate), clip)
    assert not any(track.kind == "audio" for track in clip.tracks)
    assert not probe(target).has_audio


def test_sound_longer_than_the_pictures_is_kept_whole(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", frames=72, sound="aac"))
    target = write_video(
        tmp_path / "b.mp4", read_frames(clip, 0, 10), Writing(width=64, height=48, rate=clip.rate), clip
    )
    assert packets_of(target, "audio") == packets_of(clip.path, "audio")


def test_source_that_vanished_is_one_line_and_leaves_nothing(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", sound="aac"))
    frames = list(read_frames(clip))
    clip.path.unlink()
    with pytest.raises(InputError, match="No such file"):
        write_video(tmp_path / "b.mp4", frames, Writing(width=64, height=48, rate=clip.rate), clip)
    assert list(tmp_path.iterdir()) == []
