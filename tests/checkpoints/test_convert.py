"""From published files to a pipeline folder, and every file that is not what it should be."""

import json
import os
import pickle
import random
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from stand_ins import NARROW, WORDS, filled, formula, network_shapes, write_inputs
from venhancer.checkpoints.convert import convert
from venhancer.checkpoints.keys import published_keys, to_ours
from venhancer.checkpoints.tokenizer import clip_tokenizer
from venhancer.checkpoints.writing import write_safetensors
from venhancer.errors import WeightsError
from venhancer.models import ImageAutoencoder, VideoAutoencoder, VideoControlNet, VideoUNet
from venhancer.pipeline import VEnhancerPipeline
from venhancer.progress import SILENT

Inputs = dict[str, Path]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Inputs]:
    folder = tmp_path_factory.mktemp("published")
    return {version: write_inputs(folder / version, version) for version in ("v1", "v2")}


@pytest.fixture(scope="module")
def converted(published: dict[str, Inputs], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("converted")
    return {
        version: convert(**inputs, target=folder / version, version=version, dtype="fp32")
        for version, inputs in published.items()
    }


def refusal(inputs: dict[str, Any], target: Path, **changes: Any) -> str:
    """Return the one line that a conversion is refused with; nothing may be left behind."""
    target.parent.mkdir(exist_ok=True)
    before = sorted(target.parent.iterdir())
    with pytest.raises(WeightsError) as caught:
        convert(**{"version": "v1", **inputs, **changes}, target=target)
    assert sorted(target.parent.iterdir()) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_folder_has_the_standard_names(converted: dict[str, Path], version: str):
    folder = converted[version]
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "controlnet/config.json",
        "controlnet/diffusion_pytorch_model.safetensors",
        "conversion.json",
        "model_index.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]


def test_every_component_loads_by_itself(converted: dict[str, Path]):
    folder = converted["v2"]
    assert isinstance(VideoUNet.from_pretrained(folder / "unet", low_cpu_mem_usage=False), VideoUNet)
    assert isinstance(VideoControlNet.from_pretrained(folder / "controlnet", low_cpu_mem_usage=False), VideoControlNet)
    assert isinstance(VideoAutoencoder.from_pretrained(folder / "vae", low_cpu_mem_usage=False), VideoAutoencoder)
    text = CLIPTextModel.from_pretrained(folder / "text_encoder")
    assert len(text.encoder.layers) == 2
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    assert tokenizer("the cat").input_ids == [518, 513, 517, 519]
    assert tokenizer.pad_token_id == 0


@pytest.mark.parametrize(("version", "vae"), [("v1", ImageAutoencoder), ("v2", VideoAutoencoder)])
def test_folder_loads_as_a_diffusers_pipeline(converted: dict[str, Path], version: str, vae: type):
    pipeline = VEnhancerPipeline.from_pretrained(converted[version])
    assert type(pipeline.vae) is vae
    assert pipeline.unet.dtype == torch.float32
    assert pipeline.config.defaults["guidance_scale"] == 7.5


def test_values_arrive_where_the_names_say(converted: dict[str, Path]):
    for name, network, control in (("unet", VideoUNet, False), ("controlnet", VideoControlNet, True)):
        values = load_file(converted["v1"] / name / "diffusion_pytorch_model.safetensors")
        with torch.device("meta"):
            ours = network(**NARROW).state_dict()
        shapes = network_shapes(NARROW)
        assert values.keys() == ours.keys()
        for theirs, key in published_keys(ours, control=control).items():
            assert torch.equal(values[key], to_ours(formula(theirs, shapes[theirs]), tuple(ours[key].shape)))


def test_configuration_is_that_of_the_checkpoint(converted: dict[str, Path]):
    config = json.loads((converted["v1"] / "unet" / "config.json").read_text())
    for name, value in NARROW.items():
        assert config[name] == (list(value) if isinstance(value, tuple) else value)


def test_half_precision_is_the_rounded_checkpoint(
    published: dict[str, Inputs], converted: dict[str, Path], tmp_path: Path
):
    folder = convert(**published["v1"], target=tmp_path / "half", version="v1")
    exact = load_file(converted["v1"] / "unet" / "diffusion_pytorch_model.safetensors")
    half = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(half[key], value.half()) for key, value in exact.items())


def test_record_names_every_input(published: dict[str, Inputs], converted: dict[str, Path]):
    record = json.loads((converted["v2"] / "conversion.json").read_text())
    assert (record["version"], record["dtype"]) == ("v2", "fp32")
    assert record["inputs"].keys() == {"checkpoint", "vae", "text", "tokenizer"}
    assert record["inputs"]["checkpoint"]["bytes"] == published["v2"]["checkpoint"].stat().st_size
    assert all(len(each["sha256"]) == 64 for each in record["inputs"].values())


def test_checkpoint_may_stand_alone_or_below_state_dict(published: dict[str, Inputs], tmp_path: Path):
    bare = tmp_path / "bare.pt"
    torch.save(filled(network_shapes(NARROW)), bare)
    folder = convert(**(published["v1"] | {"checkpoint": bare}), target=tmp_path / "model", version="v1")
    assert (folder / "model_index.json").is_file()


def test_folders_of_other_programs_are_inputs_too(
    published: dict[str, Inputs], converted: dict[str, Path], tmp_path: Path
):
    """A `vae` and a `text_encoder` folder, and the tokenizer in the folder beside it."""
    given = converted["v1"]
    tokenizer = tmp_path / "sd" / "tokenizer"
    shutil.copytree(given / "text_encoder", tmp_path / "sd" / "text_encoder")
    tokenizer.mkdir()
    shutil.copy(published["v1"]["text"].parent / "merges.txt", tokenizer)
    folder = convert(
        published["v1"]["checkpoint"],
        vae=given / "vae",
        text=tmp_path / "sd" / "text_encoder",
        target=tmp_path / "model",
        version="v1",
        dtype="fp32",
    )
    for part in ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert load_file(folder / part).keys() == load_file(given / part).keys()


def test_progress_is_told_of_every_tensor(published: dict[str, Inputs], tmp_path: Path):
    class Recorder:
        stages: list[list[Any]] = []  # noqa: RUF012 - one instance

        def start(self, total: int, what: str) -> None:
            self.stages.append([what, total, 0])

        def advance(self) -> None:
            self.stages[-1][2] += 1

    recorder = Recorder()
    convert(**published["v1"], target=tmp_path / "model", version="v1", progress=recorder)
    assert [what for what, _, _ in recorder.stages] == ["checksums", "convert"]
    assert all(total == done for _, total, done in recorder.stages)


def test_written_file_reads_back(tmp_path: Path):
    """Our writer against the library's reader: empty, scalar, odd and many-dimensional tensors."""
    tensors = {
        "b": torch.randn(3, 5, 7),
        "a": torch.randn(()),
        "none": torch.zeros(0, 4),
        "odd": torch.randn(3).bfloat16(),
    }
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    target = tmp_path / "x.safetensors"
    write_safetensors(target, shapes, tensors.__getitem__, dtype="fp16", progress=SILENT)
    read = load_file(target)
    assert list(read) == list(shapes) or read.keys() == shapes.keys()
    assert all(torch.equal(read[key], value.half()) for key, value in tensors.items())
    with safe_open(target, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_values_that_the_dtype_cannot_hold_are_refused(published: dict[str, Inputs], tmp_path: Path):
    tensors = filled(network_shapes(NARROW))
    tensors["out.2.bias"][0] = 1e6
    torch.save(tensors, tmp_path / "large.pt")
    given = published["v1"] | {"checkpoint": tmp_path / "large.pt"}
    assert "convert with fp32" in refusal(given, tmp_path / "out" / "model")
    convert(**given, target=tmp_path / "model", version="v1", dtype="fp32")


def test_existing_target_is_kept(published: dict[str, Inputs], tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("keep")
    assert "already exists; remove it" in refusal(published["v1"], tmp_path / "model")
    assert (tmp_path / "model" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("which", ["checkpoint", "vae", "text"])
def test_missing_file_is_named(published: dict[str, Inputs], tmp_path: Path, which: str):
    message = refusal(published["v1"], tmp_path / "model", **{which: tmp_path / "nowhere.pt"})
    assert f"{tmp_path / 'nowhere.pt'} does not exist" in message


@pytest.mark.parametrize("which", ["checkpoint", "vae", "text"])
def test_folder_without_weights_is_named(published: dict[str, Inputs], tmp_path: Path, which: str):
    (tmp_path / "empty").mkdir()
    message = refusal(published["v1"], tmp_path / "out" / "model", **{which: tmp_path / "empty"})
    assert "contains none of diffusion_pytorch_model.safetensors" in message


@pytest.mark.parametrize("which", ["checkpoint", "vae", "text"])
@pytest.mark.parametrize("other", ["checkpoint", "vae", "text"])
def test_swapped_files_are_noticed(published: dict[str, Inputs], tmp_path: Path, which: str, other: str):
    if which != other:
        given = published["v2"]
        message = refusal(given, tmp_path / "model", **{which: given[other], "version": "v2"})
        assert str(given[other]) in message
        assert " is not " in message


def test_other_releases_autoencoder_is_noticed(published: dict[str, Inputs], tmp_path: Path):
    swapped = published["v1"] | {"vae": published["v2"]["vae"]}
    message = refusal(swapped, tmp_path / "model")
    assert "is not Stable Diffusion's autoencoder: of 248 tensors, " in message
    assert "missing (" in message
    swapped = published["v2"] | {"vae": published["v1"]["vae"]}
    assert "is not Stable Video Diffusion's autoencoder" in refusal(swapped, tmp_path / "model", version="v2")


def test_missing_unexpected_and_misshapen_tensors_are_counted_and_named(published: dict[str, Inputs], tmp_path: Path):
    tensors = filled(network_shapes(NARROW))
    for number in range(5):
        tensors[f"model_ema.{number}"] = torch.zeros(1)
    del tensors["VideoControlNet.scale_cond.0.bias"]
    tensors["out.0.weight"] = torch.zeros(7)
    torch.save(tensors, tmp_path / "odd.pt")
    message = refusal(published["v1"], tmp_path / "out" / "model", checkpoint=tmp_path / "odd.pt")
    assert "is not a VEnhancer checkpoint" in message
    assert "1 missing (VideoControlNet.scale_cond.0.bias)" in message
    assert "5 unexpected (model_ema.0, model_ema.1, model_ema.2, ...)" in message
    assert "1 of another shape (out.0.weight is 7 instead of 32)" in message


@pytest.mark.parametrize(
    "key", ["input_blocks.0.0.weight", "out.2.weight", "middle_block.1.transformer_blocks.0.attn2.to_k.weight"]
)
def test_checkpoint_whose_shapes_make_no_network_is_refused(published: dict[str, Inputs], tmp_path: Path, key: str):
    for value in (None, torch.zeros(0, 0), torch.zeros(3), torch.zeros(33, 4, 3, 3)):
        tensors = filled(network_shapes(NARROW))
        del tensors[key]
        if value is not None:
            tensors[key] = value
        torch.save(tensors, tmp_path / "odd.pt")
        message = refusal(published["v1"], tmp_path / "out" / "model", checkpoint=tmp_path / "odd.pt")
        assert f"{tmp_path / 'odd.pt'} is not a VEnhancer checkpoint" in message


@pytest.mark.parametrize("which", ["checkpoint", "vae", "text"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_truncated_file_is_noticed(
    published: dict[str, Inputs], tmp_path: Path, which: str, share: float, version: str
):
    whole = published[version][which]
    cut = tmp_path / whole.name
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    message = refusal(published[version], tmp_path / "out" / "model", version=version, **{which: cut})
    assert str(cut) in message
    assert "download it again" in message


@pytest.mark.parametrize("name", ["notes.pt", "notes.safetensors", "notes.txt"])
def test_text_file_is_refused(published: dict[str, Inputs], tmp_path: Path, name: str):
    (tmp_path / name).write_text("<html>Access to this model is restricted</html>" * 50)
    message = refusal(published["v1"], tmp_path / "out" / "model", checkpoint=tmp_path / name)
    assert "download it again" in message


class Canary:
    """Unpickling this runs a program that leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("which", ["checkpoint", "vae", "text"])
@pytest.mark.parametrize("form", ["torch", "beside tensors", "plain pickle", "old torch"])
def test_hostile_pickle_runs_nothing(published: dict[str, Inputs], tmp_path: Path, which: str, form: str):
    canary, hostile = tmp_path / "canary", tmp_path / "hostile.pt"
    if form == "torch":
        torch.save(Canary(canary), hostile)
    elif form == "beside tensors":
        torch.save({"state_dict": {"out.2.bias": torch.zeros(4)}, "callbacks": Canary(canary)}, hostile)
    elif form == "plain pickle":
        hostile.write_bytes(pickle.dumps({"state_dict": Canary(canary)}))
    else:
        torch.save({"state_dict": Canary(canary)}, hostile, _use_new_zipfile_serialization=False)
    message = refusal(published["v1"], tmp_path / "out" / "model", **{which: hostile})
    assert str(hostile) in message
    assert not canary.exists()
    torch.load(hostile, weights_only=False) if form != "plain pickle" else pickle.loads(hostile.read_bytes())
    assert canary.exists(), "the canary itself works"


def test_zip_of_something_else_is_refused(published: dict[str, Inputs], tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "photos.pt", "w") as photos:
        photos.writestr("photo.jpg", b"x" * 1000)
    message = refusal(published["v1"], tmp_path / "out" / "model", checkpoint=tmp_path / "photos.pt")
    assert "is damaged or not a PyTorch weight file" in message


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's about odd pickle protocols
def test_bytes_gone_wrong_never_give_anything_but_one_line(published: dict[str, Inputs], tmp_path: Path):
    source = random.Random(0)
    torch.save(filled({f"layer.{number}.weight": (3, 4) for number in range(20)}), tmp_path / "good.pt")
    content = (tmp_path / "good.pt").read_bytes()
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(source.choice([1, 3, 20])):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        (tmp_path / "bad.pt").write_bytes(damaged)
        refusal(published["v1"], tmp_path / "out" / "model", checkpoint=tmp_path / "bad.pt")


def test_text_encoder_of_another_width_is_refused(published: dict[str, Inputs], tmp_path: Path):
    torch.save(filled(network_shapes(NARROW | {"text_dim": 24})), tmp_path / "wide.pt")
    message = refusal(published["v1"], tmp_path / "out" / "model", checkpoint=tmp_path / "wide.pt")
    assert "gives text embeddings 16 wide but the networks expect 24" in message


def test_tokenizer_must_be_somewhere(published: dict[str, Inputs], tmp_path: Path):
    text = shutil.copy(published["v1"]["text"], tmp_path)
    message = refusal(published["v1"], tmp_path / "out" / "model", text=Path(text))
    assert "no list of CLIP's merges (merges.txt or bpe_simple_vocab_16e6.txt.gz or" in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("#version\n" + "\n".join(WORDS[:-1]), "makes 519 tokens but the text encoder knows 520"),
        ("#version\na b c\n", "two symbols per line"),
        ("", "two symbols per line"),
    ],
)
def test_wrong_list_of_merges_is_refused(published: dict[str, Inputs], tmp_path: Path, content: str, reason: str):
    (tmp_path / "merges.txt").write_text(content)
    assert reason in refusal(published["v1"], tmp_path / "out" / "model", tokenizer=tmp_path / "merges.txt")


@pytest.mark.parametrize("name", ["merges.txt", "bpe_simple_vocab_16e6.txt.gz"])
def test_damaged_list_of_merges_is_refused(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00" * 100)
    with pytest.raises(WeightsError, match="is damaged or not a list of CLIP's merges"):
        clip_tokenizer(tmp_path / name, vocabulary=520, length=77)


def test_full_disk_is_foreseen(published: dict[str, Inputs], tmp_path: Path):
    """A small file may well describe a network of a thousand gigabytes: one number repeated."""
    wide = {"base_channels": 2**16, "channel_mults": (1, 1), "blocks_per_level": 1, "attention_levels": (True, False)}
    shapes = network_shapes(wide | {"text_dim": 16})
    torch.save({key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}, tmp_path / "wide.pt")
    message = refusal(published["v1"], tmp_path / "out" / "model", checkpoint=tmp_path / "wide.pt")
    assert re.search(r"the converted weights take \d{4}\.\d GB and .* has \d+\.\d GB free; free some space", message)


def test_target_below_a_file_is_refused(published: dict[str, Inputs], tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=r"file/model cannot be written \(.*\); choose another target"):
        convert(**published["v1"], target=tmp_path / "file" / "model", version="v1")


def test_interrupted_conversion_leaves_nothing(published: dict[str, Inputs], tmp_path: Path):
    class Impatient:
        def start(self, total: int, what: str) -> None:
            self.left = 20 if what == "convert" else 100

        def advance(self) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(**published["v1"], target=tmp_path / "model", version="v1", progress=Impatient())
    assert list(tmp_path.iterdir()) == []


def test_safetensors_checkpoint_is_read_too(published: dict[str, Inputs], tmp_path: Path):
    save_file(filled(network_shapes(NARROW)), tmp_path / "venhancer.safetensors")
    given = published["v1"] | {"checkpoint": tmp_path / "venhancer.safetensors"}
    assert convert(**given, target=tmp_path / "model", version="v1").is_dir()
