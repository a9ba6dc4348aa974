"""Commands as they are typed: what they show, what they write, and one clear line for every mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from media.clips import make_clip
from venhancer.cli.main import main
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.runtime.processor import has_bfloat16

SCRIPT = [str(Path(sys.executable).with_name("venhancer"))]
MODULE = [sys.executable, "-m", "venhancer"]


def run(command: list[str], *words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [str(word) for word in words]
    return subprocess.run(
        [*command, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def after(code: str) -> list[str]:
    """Return a command that runs some code and then the command line."""
    return [sys.executable, "-c", f"{code}\nimport sys\nfrom venhancer.cli.main import main\nmain(sys.argv[1:])"]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with `in.mp4`, six frames of 32x24 with sound, as the current one."""
    make_clip(tmp_path / "in.mp4", width=32, height=24, rate=12, frames=6, sound="aac")
    return tmp_path


@pytest.fixture
def refusal(folder, capsys, monkeypatch):
    """Run words in this process, see that they are refused in one line that leaves the folder as it was."""
    monkeypatch.chdir(folder)

    def refuse(*words: object) -> str:
        before = names(folder)
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        assert (ended.value.code, shown.out) == (2, "")
        assert shown.err.startswith("venhancer: ")
        assert shown.err.count("\n") == 1
        assert shown.err.endswith("\n")
        assert names(folder) == before
        return shown.err

    return refuse


# ---------------------------------------------------------------- what is shown


def test_nothing_cheap_loads_torch(folder):
    """Help, refusals, plans and dry runs answer at once."""
    code = (
        "import sys\nfrom venhancer.cli.main import main\n"
        "commands = ['--help', '--version', 'enhance --help', 'weights convert --help', 'train --help',\n"
        "    'plan in.mp4 --model v2', 'plan in.mp4 --model v2 --json', 'plan in.mp4 --scale 9', 'plan none.mp4',\n"
        "    'enhance in.mp4 out.mp4 --model v2 --dry-run', 'enhance in.mp4 in.mp4', 'weights show none']\n"
        "for command in commands:\n"
        "    try: main(command.split())\n"
        "    except SystemExit: pass\n"
        "    loaded = {'torch', 'diffusers', 'transformers'} & sys.modules.keys()\n"
        "    assert not loaded, (command, loaded)\n"
    )
    done = run([sys.executable, "-c", code], folder=folder)
    assert done.returncode == 0, done.stderr


def test_help_and_version_of_the_installed_command(tmp_path):
    done = run(SCRIPT, "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: venhancer COMMAND")
    assert all(command in done.stdout for command in ("enhance", "plan", "weights", "train"))
    assert run(MODULE, "--version", folder=tmp_path).stdout == "venhancer 0.1.0\n"


def test_plan_is_a_table(folder):
    done = run(SCRIPT, "plan", "in.mp4", "--model", "v2", "--fps", "24", "-p", "a red\ncat", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert rows["input"].strip() == "in.mp4: 32x24, 12 fps, 6 frames, 0.5 s, h264"
    assert rows["output"].strip() == "128x96, 24 fps, 12 frames, 0.5 s, the target's usual codec"
    assert rows["prompt"].strip().startswith("a red\\ncat, Cinematic")


def test_plan_as_json_parses(folder, capsys, monkeypatch, tiny_model):
    monkeypatch.chdir(folder)
    main(["plan", "in.mp4", "--model", str(tiny_model), "--size", "64x48", "--noise-aug", "7", "--json"])
    plan = json.loads(capsys.readouterr().out)
    assert (plan["width"], plan["height"], plan["frames"], plan["rate"]) == (64, 48, 6, "12")
    assert (plan["sampling"]["noise_augmentation"], plan["sampling"]["steps"]) == (7, 2)
    assert plan["settings"]["size"] == [64, 48]


def test_plan_on_a_device_that_is_not_here(folder, capsys, monkeypatch, refusal):
    monkeypatch.chdir(folder)
    words = ["plan", "in.mp4", "--model", "v2", "--on", "a100"]
    main(words)
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert rows["on A100 SXM 80 GB"].strip().startswith("about ")
    assert "of 80GB free, in bf16" in rows["memory"]
    main([*words, "--json"])
    seconds = json.loads(capsys.readouterr().out)["seconds"]
    assert seconds.keys() == {"networks", "autoencoder", "transfers"}
    assert seconds["networks"] > seconds["autoencoder"] > 0
    assert "invalid choice: 'b100'" in refusal(*words[:-1], "b100")


def test_dry_run_shows_the_plan_and_writes_nothing(folder, capsys, monkeypatch, tiny_model):
    monkeypatch.chdir(folder)
    before = names(folder)
    main(["enhance", "in.mp4", "out.mp4", "--model", str(tiny_model), "--slow", "2", "--dry-run"])
    shown = capsys.readouterr()
    assert "128x96, 12 fps, 12 frames, 1 s" in shown.out
    assert shown.err == "venhancer: the output will lose: sound (aac): slow motion drops sound\n"
    assert names(folder) == before


def test_a_model_can_be_looked_at(capsys, tiny_model):
    main(["weights", "show", str(tiny_model)])
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert rows["unet"].strip().startswith("VideoUNet, 0.3")
    assert '"steps": 2' in rows["defaults"]


# ---------------------------------------------------------------- real work


def test_enhance_writes_what_was_asked_for(folder, tiny_model):
    done = run(SCRIPT, "enhance", "in.mp4", "out.mkv", "--model", tiny_model, "--scale", 2, "--fps", 24, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wrote out.mkv (64x48, 24 fps, 12 frames) in ")
    assert done.stdout.count("\n") == 1
    clip = probe(folder / "out.mkv")
    assert (clip.width, clip.height, clip.rate, clip.frames, clip.has_audio) == (64, 48, 24, 12, True)
    assert len(list(read_frames(clip))) == 12
    assert names(folder) == ["in.mp4", "out.mkv"]


def test_enhance_as_a_module_with_a_report(folder, tiny_model):
    (folder / "out.mp4").write_bytes(b"earlier result")
    flags = ["--model", tiny_model, "--scale", 2, "--fps", 24, "--seed", 3, "--json", "report.json", "--overwrite"]
    done = run(MODULE, "enhance", "in.mp4", "out.mp4", *flags, "--quiet", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    report = json.loads((folder / "report.json").read_text())
    number_format = "bfloat16" if has_bfloat16() else "float32"
    assert (report["target"], report["device"], report["dtype"]) == ("out.mp4", "cpu", number_format)
    assert (report["plan"]["frames"], report["plan"]["sampling"]["seed"]) == (12, 3)
    assert report["seconds"] > 0
    assert report["versions"]["torch"]
    assert probe(folder / "out.mp4").frames == 12


def test_same_seed_gives_the_same_frames_in_one_process(folder, capsys, monkeypatch, tiny_model):
    monkeypatch.chdir(folder)
    for name, seed in (("a.mkv", 1), ("b.mkv", 1), ("c.mkv", 2)):
        words = ["enhance", "in.mp4", name, "--codec", "ffv1", "--scale", "1", "--model", str(tiny_model)]
        main([*words, "--seed", str(seed), "--quiet"])
    assert capsys.readouterr() == ("", "")
    first, again, other = (np.stack(list(read_frames(probe(folder / name)))) for name in ("a.mkv", "b.mkv", "c.mkv"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_full_disk_is_one_line_and_leaves_nothing(folder, tiny_model):
    """A limit on the size of files stands in for a disk that fills up half-way."""
    before = names(folder)
    limit = after("import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2200, 2200))")
    done = run(limit, "enhance", "in.mp4", "out.mp4", "--model", tiny_model, "--scale", 2, folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("venhancer: out.mp4 could not be written; check its free space")
    assert done.stderr.count("\n") == 1
    assert names(folder) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_full_log_is_one_line_and_ends_no_work(folder, tiny_model):
    words = ["enhance", "in.mp4", "out.mp4", "--model", str(tiny_model), "--scale", "1", "--overwrite"]
    for full in ("stdout", "stderr"):
        (folder / "out.mp4").unlink(missing_ok=True)
        with open("/dev/full", "w") as log:  # noqa: PTH123 - a device
            done = subprocess.run(
                [*MODULE, *words],
                cwd=folder,
                check=False,
                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, full: log},
            )
        assert probe(folder / "out.mp4").frames == 6
        if full == "stdout":
            said = "out.mp4 is written, but standard output is full; free some space (No space left on device)"
            assert (done.returncode, done.stderr.decode()) == (2, f"venhancer: {said}\n")
        else:
            assert done.returncode == 0
    for words in (["plan", "in.mp4"], ["weights", "show"]):
        with open("/dev/full", "w") as log:  # noqa: PTH123 - likewise
            done = subprocess.run([*MODULE, *words], cwd=folder, stdout=log, stderr=subprocess.PIPE, check=False)
        assert done.stderr.count(b"\n") == 1
        assert done.returncode == 2


# ---------------------------------------------------------------- mistakes


def test_bad_sources_are_refused(folder, refusal, tiny_model):
    whole = make_clip(folder / "whole.mp4", frames=24, container_options={"movflags": "+faststart"}).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    (folder / "empty.mp4").touch()
    make_clip(folder / "none.avi", frames=0, codec="mpeg4")
    with av.open(str(folder / "sound.mp4"), "w") as output:
        tone = output.add_stream("aac", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48000
        output.mux([*tone.encode(frame), *tone.encode(None)])
    expected = {
        "missing.mp4": "check the path",
        "text.mp4": "is damaged, cut short, or not an mp4",
        "empty.mp4": "is damaged, cut short, or not an mp4",
        "none.avi": "contains no frame",
        "sound.mp4": "contains no video stream",
        "cut.mp4": "cut short",
        ".": "is a folder; pass a file",
        "": "is a folder; pass a file",
        "a\nb.mp4": "a\\nb.mp4 cannot be read",
    }
    for source, reason in expected.items():
        given = "out.mp4 must be a folder, for . holds several clips" if source in (".", "") else reason
        assert given in refusal("enhance", source, "out.mp4", "--model", tiny_model), source
        assert reason in refusal("plan", source, "--model", tiny_model), source


def test_bad_settings_are_refused_with_what_is_allowed(refusal, tiny_model):
    expected = {
        "--scale 0": "scale 0 is below 1; pass --scale 1 to 8",
        "--scale 0.5": "scale 0.5 is below 1; pass --scale 1 to 8",
        "--scale 9": "scale 9 is above 8; pass --scale 1 to 8, or run twice",
        "--scale nan": "scale nan is not a number; pass --scale 1 to 8",
        "--scale": "argument --scale: expected one argument; it takes 1 to 8",
        "--fps 0": "fps 0 is not above 0; pass --fps above 0 and up to 480",
        "--fps -1": "fps -1 is not above 0",
        "--fps 100000": "fps 100000 is above 480",
        "--fps 97": "fps 97 at the clip's 12 makes 8.0833",
        "--start 1:60": "start '1:60' is not a time; pass --start 0 to 360000",
        "--start 9 --end 0:08.5": "end 8.5 s is not above start 9 s",
        "--start 9": "start 9 is after the last frame of in.mp4",
        "--size 65x48": "size 65x48 has an odd side",
        "--size 8x8": "size 8x8 is out of bounds",
        "--size 16x16": "size 16x16 is not 1 to 8 times the clip's 32x24",
        "--size 64x48 --scale 2": "scale 2 and size 64x48 exclude each other",
        "--steps 2.5": "steps 2.5 is not a whole number; pass --steps 1 to 100",
        "--solver euler": "solver euler is unknown; pass --solver dpmpp_2m_sde, dpmpp_2m, unipc, heun or ddim",
        "--scale 9 --crf 64": "Also: crf 64 is above 63",
    }
    for words, reason in expected.items():
        assert reason in refusal("enhance", "in.mp4", "out.mp4", "--model", tiny_model, *words.split()), words


def test_bad_models_are_refused(folder, refusal, tiny_model, monkeypatch):
    monkeypatch.setenv("VENHANCER_CACHE", str(folder / "cache"))
    words = ("enhance", "in.mp4", "out.mp4")
    assert "pass --model nano, v1, v2 or a folder" in refusal(*words, "--model", "v3")
    assert "pass --model nano, v1, v2 or a folder" in refusal(*words, "--model", ".")
    assert "venhancer weights download v2" in refusal(*words, "--model", "v2")
    assert "device tpu is not on this machine" in refusal(*words, "--model", tiny_model, "--device", "tpu")
    assert "dtype int8 is unknown; pass auto, fp32, bf16, fp16" in refusal(
        *words, "--model", tiny_model, "--dtype", "int8"
    )
    assert "has no model_index.json" in refusal("weights", "show", folder)


def test_targets_that_cannot_be_written_are_refused(folder, refusal, tiny_model):
    (folder / "old.mp4").write_bytes(b"earlier result")
    (folder / "folder.mp4").mkdir()
    model = ("--model", tiny_model)
    expected = {
        "none/out.mp4": "none is not a folder; create it first",
        "in.mp4/out.mp4": "in.mp4 is not a folder; create it first",
        "in.mp4": "is the source itself",
        "./in.mp4": "is the source itself",
        "old.mp4": "exists; pass --overwrite or choose another name",
        "folder.mp4": "is not a file",
        "out.avi": "must end in .mp4, .mov, .mkv",
        "": "must end in .mp4, .mov, .mkv",
    }
    for target, reason in expected.items():
        assert reason in refusal("enhance", "in.mp4", target, *model), target
    assert "cannot hold ffv1; use .mkv" in refusal("enhance", "in.mp4", "out.mp4", "--codec", "ffv1", *model)
    assert "is the source itself" in refusal("enhance", "in.mp4", "in.mp4", "--overwrite", *model)
    assert (folder / "old.mp4").read_bytes() == b"earlier result"


def test_reports_that_cannot_be_written_are_refused(folder, refusal, tiny_model):
    (folder / "old.json").touch()
    for report, reason in {
        "none/a.json": "choose a file in an existing folder",
        ".": "choose a file in an existing folder",
        "in.mp4": "is the source or the target",
        "out.mp4": "is the source or the target",
        "old.json": "pass --overwrite",
    }.items():
        assert reason in refusal("enhance", "in.mp4", "out.mp4", "--model", tiny_model, "--json", report), report
    assert "--dry-run writes no report" in refusal("enhance", "in.mp4", "out.mp4", "--dry-run", "--json", "a.json")


def test_folder_without_permission_is_refused(folder, tiny_model):
    """An ordinary user's process; the superuser may write anywhere."""
    folder.chmod(0o555)
    ordinary = after(
        "import os, venhancer.cli.main, venhancer.cli.enhance, venhancer.fleet.fleet, venhancer.planning.machine\n"
        "import venhancer.cli.terminal\n"
        "if os.getuid() == 0: os.setuid(65534)"
    )
    done = run(ordinary, "enhance", "in.mp4", "out.mp4", folder=folder)
    folder.chmod(0o755)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "is not writable; choose another folder" in done.stderr
    assert names(folder) == ["in.mp4"]


def test_mistyped_commands_and_flags_are_refused(refusal):
    words = ("enhance", "in.mp4", "out.mp4")
    assert refusal(*words, "--stesp", "4") == "venhancer: unknown flag --stesp; did you mean --steps?\n"
    assert refusal(*words, "--scal=2") == "venhancer: unknown flag --scal; did you mean --scale?\n"
    assert "unknown flag --zzz; see `venhancer enhance --help`" in refusal(*words, "--zzz")
    assert "unexpected more.mp4; see `venhancer enhance --help`" in refusal(*words, "more.mp4")
    assert "required: TARGET; see `venhancer enhance --help`" in refusal("enhance", "in.mp4")
    assert "choose from" in refusal("enhanse", "in.mp4")
    assert "a command is missing; see `venhancer --help`" in refusal()
    assert "a command is missing; see `venhancer weights --help`" in refusal("weights")
    assert "unknown flag --verison; did you mean --version?" in refusal("--verison")


def test_wrong_weights_and_recipes_are_refused(folder, refusal):
    assert "invalid choice: 'v3'" in refusal("weights", "download", "v3")
    assert "required: CHECKPOINT, --vae, --text" in refusal("weights", "convert", "v2")
    words = ("--vae", "none.safetensors", "--text", "none.bin", "--target", "new")
    assert "none.pt" in refusal("weights", "convert", "v2", "none.pt", *words)
    assert "recipe none.yaml cannot be read" in refusal("train", "none.yaml")
    (folder / "recipe.yaml").write_text("stesp: 4\n")
    assert "recipe recipe.yaml" in refusal("train", "recipe.yaml")


def test_debug_shows_where_an_error_comes_from(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(["plan", "in.mp4", "--scale", "9", "--debug"])
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith("venhancer: scale 9 is above 8")
