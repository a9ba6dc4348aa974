"""What each kind of output file holds beside its pictures.

The plan of the tracks, the code that writes them and the table in `docs/formats.md` all go by this page; the tests try
every entry of it on a real file.
"""

from dataclasses import dataclass


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PCM = frozenset({f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be")})
CHANNELS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}  # that encoders keep
TEXT_SUBTITLES = frozenset({"subrip", "ass", "mov_text", "webvtt", "text"})  # what can be turned into one another
ILST_TAGS = _words(
    "title artist album_artist composer album date comment genre copyright grouping lyrics description synopsis "
    "show episode_id network keywords episode_sort season_number media_type hd_video gapless_playback compilation "
    "track disc creation_time location"
)
MOV_LANGUAGES = _words(  # of ISO 639-2: those that QuickTime has numbers for
    "alb amh ara arm asm aze baq bel ben bul bur cat ces chi dan dut dzo eng epo est fin fra geo ger gre guj heb "
    "hin hun ice ind ita jav jpn kan kas kaz khm kin kir kor kur lao lat lav lit mac mal mar may mlg mlt mon nep "
    "nor ori orm per pol por pus que ron run rus san sin slk slv snd som spa swa tam tat tel tgk tgl tha tib tir "
    "tuk tur uig ukr urd uzb vie wel yid und"
)
SAME_LANGUAGE = {  # the two codes that ISO 639-2 has for one language, where QuickTime has a number for one of them
    "sqi": "alb", "hye": "arm", "eus": "baq", "mya": "bur", "zho": "chi", "cze": "ces", "nld": "dut", "fre": "fra",
    "kat": "geo", "deu": "ger", "ell": "gre", "isl": "ice", "mkd": "mac", "msa": "may", "fas": "per", "rum": "ron",
    "slo": "slk", "bod": "tib", "cym": "wel",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What one kind of output file holds, as far as players support it.

    Args:
        name: as FFmpeg calls it.
        sound: codecs whose packets are copied.
        sound_codec: what all other sound is encoded to.
        subtitles: codecs whose packets are copied.
        text_codec: what all other subtitles made of text are converted to.
        covers: codecs of pictures that are no film, such as the cover of an album.
        attachments: whether it holds other files, such as fonts.
        sound_flags: flags that a sound track can have.
        subtitle_flags: flags that a subtitle track can have.
        tags: names of tags beside the usual ones, None if any name will do.
        languages: codes of ISO 639-2 that can be told, None if all.
    """

    name: str
    sound: frozenset[str]
    sound_codec: str
    subtitles: frozenset[str]
    text_codec: str
    covers: frozenset[str]
    attachments: bool
    sound_flags: frozenset[str]
    subtitle_flags: frozenset[str]
    tags_beside_covers: frozenset[str] | None = None
    languages: frozenset[str] | None = None


COMMON_FLAGS = frozenset({"default", "dub", "comment", "forced", "hearing_impaired", "visual_impaired"})
CONTAINERS = {
    ".mp4": Container(
        name="mp4",
        sound=frozenset({"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"}),
        sound_codec="aac",
        subtitles=frozenset({"mov_text"}),
        text_codec="mov_text",
        covers=frozenset({"mjpeg", "png", "bmp"}),
        attachments=False,
        sound_flags=COMMON_FLAGS | {"captions", "descriptions"},
        subtitle_flags=COMMON_FLAGS | {"captions", "descriptions"},
        tags_beside_covers=ILST_TAGS,
    ),
    ".mov": Container(
        name="mov",
        sound=frozenset({"aac", "mp3", "ac3", "eac3", "alac", *PCM}),
        sound_codec="aac",
        subtitles=frozenset({"mov_text"}),
        text_codec="mov_text",
        covers=frozenset(),
        attachments=False,
        sound_flags=frozenset({"default"}),
        subtitle_flags=frozenset({"default"}),
        languages=MOV_LANGUAGES,
    ),
    ".mkv": Container(
        name="matroska",
        sound=frozenset({"aac", "mp2", "mp3", "ac3", "eac3", "alac", "dts", "flac", "opus", "truehd", "vorbis", *PCM}),
        sound_codec="flac",
        subtitles=frozenset({"subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}),
        text_codec="subrip",
        covers=frozenset({"mjpeg", "png", "bmp", "gif"}),
        attachments=True,
        sound_flags=COMMON_FLAGS | {"original"},
        subtitle_flags=COMMON_FLAGS | {"original", "descriptions"},
    ),
    ".webm": Container(
        name="webm",
        sound=frozenset({"opus", "vorbis"}),
        sound_codec="opus",
        subtitles=frozenset({"webvtt"}),
        text_codec="webvtt",
        covers=frozenset(),
        attachments=False,
        sound_flags=frozenset({"default", "forced"}),
        subtitle_flags=frozenset({"default", "forced", "captions", "descriptions"}),
    ),
}


def told_language(language: str, container: Container) -> str:
    """Return the code by which a container tells a language, empty if it cannot."""
    if container.languages is None or language in container.languages:
        return language
    return SAME_LANGUAGE.get(language, "")
