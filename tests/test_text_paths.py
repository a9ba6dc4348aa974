"""Paths may be text wherever the public functions take one."""

import torch
from safetensors.torch import save_file

import venhancer
from media.clips import make_clip


def test_a_file_is_enhanced_by_paths_that_are_text(tmp_path, monkeypatch, tiny_model):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", width=32, height=24, frames=3)
    pipeline = venhancer.load_pipeline(str(tiny_model), device="cpu")
    settings = venhancer.EnhanceSettings(scale=1, model=str(tiny_model))
    assert venhancer.plan_video("in.mp4", settings, "out.mp4").frames == 3
    report = venhancer.enhance_video("in.mp4", "out.mp4", pipeline, settings)
    clip = venhancer.probe(str(report.target))
    assert (clip.frames, len(list(venhancer.read_frames(clip)))) == (3, 3)
    assert report.save("report.json").is_file()
    name, layer = next((name, of) for name, of in pipeline.unet.named_modules() if name.endswith("to_q"))
    pair = {"lora_A": torch.zeros(1, layer.in_features), "lora_B": torch.zeros(layer.out_features, 1)}
    values = {f"unet.{name}.{side}.weight": matrix for side, matrix in pair.items()}
    save_file(values, "adapters.safetensors", metadata={"venhancer": '{"scale": 1.0, "defaults": {}}'})
    venhancer.merge_adapters(pipeline, "adapters.safetensors")
