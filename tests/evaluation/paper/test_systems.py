"""Systems: each runs as its program's source says, is ready or says what is missing, and really runs where it can."""

import shlex
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from venhancer.errors import JobFailed, SettingsError
from venhancer.evaluation.baselines.baseline import Request
from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.paper.protocol import TABLES, load_protocol
from venhancer.evaluation.paper.systems import as_rows, known_entries, load_systems

ARGUMENTS = yaml.safe_load(Path(__file__).with_name("arguments.yaml").read_text())
COMMANDS = {name: entry for name, entry in known_entries().items() if "command" in entry}

PROGRAM = """
import pathlib, sys
import numpy as np
from PIL import Image
source, target, scale, factor = sys.argv[1:]
files = sorted(pathlib.Path(source).iterdir())
number = 0
for file in files:
    picture = Image.open(file)
    large = picture.resize((picture.width * int(scale), picture.height * int(scale)), Image.NEAREST)
    for _ in range(int(factor)):
        large.save(pathlib.Path(target) / f"{number}.png")
        number += 1
"""


def request(**changes: object) -> Request:
    frames = np.random.default_rng(0).integers(0, 256, (6, 24, 32, 3), dtype=np.uint8)
    return Request(**{"key_frames": frames, "rate": Fraction(8), "scale": 2, "factor": 2, "name": "clip", **changes})


@pytest.fixture
def own(tmp_path):
    """Write a file of the user's systems."""

    def write(**entries: object) -> Path:
        file = tmp_path / "own.yaml"
        file.write_text(yaml.safe_dump(entries))
        return file

    return write


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_one_its_program_takes(name):
    known, entry = ARGUMENTS[name], COMMANDS[name]
    words = shlex.split(entry["command"])
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    required, options = set(known.get("required", ())), set(known.get("options", ()))
    assert flags - set(known.get("launcher", ())) <= required | options
    assert required <= flags
    assert entry["version"] == known["commit"][:7]
    script = next(number for number, word in enumerate(words) if word.endswith(".py"))
    assert known["file"].endswith(words[script])
    loose = [
        word
        for number, word in enumerate(words[script + 1 :], start=script + 1)
        if not word.startswith("--") and not words[number - 1].startswith("--")
    ]
    assert len(loose) == known.get("positional", 0)
    config = entry.get("config", {})
    assert set(config.get("args", config)) == set(known.get("keys", ()))


def test_every_program_has_its_arguments_recorded():
    assert ARGUMENTS.keys() == COMMANDS.keys()


def test_every_row_of_every_protocol_is_a_system(tmp_path):
    systems = load_systems(None, tmp_path)
    names = {name for table in TABLES for name in (*load_protocol(table).rows, *load_protocol(table).rivals)}
    assert names <= systems.entries.keys()
    assert {name for name, _ in as_rows(systems)} == systems.entries.keys()


def test_whatever_is_missing_says_where_to_get_it(tmp_path):
    systems = load_systems(None, tmp_path)
    assert systems.missing("nano") == systems.missing("bicubic") == ""
    assert systems.missing("realbasicvsr") == (
        "get https://github.com/ckkelvinchan/RealBasicVSR, "
        "then name its folder in --systems (realbasicvsr: {home: FOLDER})"
    )
    assert systems.missing("lavie-fi-sr").startswith("lavie-fi: get https://github.com/Vchitect/LaVie")
    assert systems.missing("gen-2").startswith("name a folder of its videos in --systems (gen-2: {videos: FOLDER})")
    assert systems.missing("zooming-slow-mo", factor=4) == "it has temporal factor 2 only, not 4"
    assert "venhancer weights download v2" in systems.missing("venhancer")
    with pytest.raises(SettingsError, match="unknown system sora; there are venhancer, nano"):
        systems.missing("sora")
    with pytest.raises(SettingsError, match="realbasicvsr cannot run: get"):
        systems.contender("realbasicvsr")


def test_what_is_missing_names_no_home(tmp_path):
    assert str(Path.home()) not in load_systems(None, tmp_path).missing("venhancer")


def test_a_program_is_ready_when_all_it_needs_is_there(tmp_path, own):
    home = tmp_path / "SeedVR"
    (home / "projects").mkdir(parents=True)
    (home / "projects" / "inference_seedvr2_3b.py").write_text("")
    file = own(seedvr2={"home": str(home), "python": sys.executable})
    lacks = load_systems(file, tmp_path).missing("seedvr2")
    assert lacks.startswith(f"{home} lacks ckpts/seedvr2_ema_3b.pth, pos_emb.pt, neg_emb.pt; from https://")


def test_a_system_of_the_users_runs_in_its_own_folder(tmp_path, own):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "enlarge.py").write_text(PROGRAM)
    entry = {"title": "Mine", "source": "mine", "version": "1", "licence": "MIT", "needs": ["enlarge.py"]}
    entry["command"] = "{python} enlarge.py {input_frames} {output_frames} {scale} {factor}"
    systems = load_systems(
        own(mine={**entry, "home": str(tmp_path / "home"), "python": sys.executable}), tmp_path / "packages"
    )
    assert systems.missing("mine") == ""
    output = systems.contender("mine").load()(request())
    assert output.shape == (11, 48, 64, 3)
    assert (output[::2, ::2, ::2] == request().key_frames).all()  # pictures 0 to 11 in the order of their numbers


def test_stages_share_the_work(tmp_path, own):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "enlarge.py").write_text(PROGRAM)
    entry = {"source": "mine", "version": "1", "licence": "MIT"}
    command = "{python} enlarge.py {input_frames} {output_frames} {scale} {factor}"
    one = {"title": "I", "command": command, "scales": [1], "factors": [2], **entry}
    place = {"home": str(tmp_path / "home"), "python": sys.executable}
    file = own(
        fi={**one, **place},
        sr={**one, "title": "S", "scales": [2], "factors": [1]},
        both={"title": "B", "stages": ["fi", "sr"], **entry},
    )
    assert load_systems(file, tmp_path).contender("both").load()(request()).shape == (11, 48, 64, 3)


def test_a_configuration_file_holds_what_the_places_stand_for(tmp_path, own):
    """As LaVie's programs take it: folders of one video each, sizes as numbers."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "run.py").write_text(
        "import pathlib, shutil, sys, yaml\n"
        "config = yaml.safe_load(open(sys.argv[2]))['args']\n"
        "assert config['image_size'] == [24, 32], config\n"
        "(file,) = pathlib.Path(config['input_folder']).iterdir()\n"
        "shutil.copy(file, pathlib.Path(config['output_folder']) / file.name)\n"
    )
    config = {"args": {"input_folder": "{input_videos}", "output_folder": "{output_videos}"}}
    config["args"]["image_size"] = ["{in_height}", "{in_width}"]
    entry = {"title": "L", "source": "l", "version": "1", "licence": "MIT", "config": config}
    entry["command"] = "{python} run.py --config {config}"
    systems = load_systems(own(l={**entry, "home": str(tmp_path / "home"), "python": sys.executable}), tmp_path)
    output = systems.contender("l").load()(request(scale=1, factor=1))
    assert (output == request().key_frames).all()  # MP4, and yet without any loss


def test_videos_that_exist_are_found_by_the_clips_name(tmp_path, own):
    (tmp_path / "made").mkdir()
    frames = np.repeat(np.repeat(request().key_frames, 2, axis=1), 2, axis=2)
    write_lossless(tmp_path / "made" / "clip.mkv", frames, Fraction(8))
    systems = load_systems(own(pika={"videos": str(tmp_path / "made")}), tmp_path)
    run = systems.contender("pika").load()
    assert (run(request(factor=1)) == frames).all()
    with pytest.raises(JobFailed, match="does not contain other; name its videos like the clips"):
        run(request(factor=1, name="other"))


def test_a_file_of_systems_that_cannot_be_is_refused(tmp_path, own):
    with pytest.raises(SettingsError, match="it takes home, python, videos, contender"):
        load_systems(own(star={"hom": "x"}), tmp_path)
    with pytest.raises(SettingsError, match="mine: source"):
        load_systems(own(mine={"title": "M"}), tmp_path)
    entry = {"title": "M", "source": "s", "version": "1", "licence": "MIT", "command": "run {input}"}
    with pytest.raises(SettingsError, match=r"system mine: the command must name \{input\} and \{output\}"):
        load_systems(own(mine=entry), tmp_path)
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(SettingsError, match="cannot be read as YAML"):
        load_systems(tmp_path / "bad.yaml", tmp_path)
