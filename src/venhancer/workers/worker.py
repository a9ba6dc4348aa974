"""A worker: loads the model on its device, predicts v and codes pictures as it is asked, until its input ends.

`venhancer.workers.workers` starts it. All that it and its libraries print goes to standard error.
"""

import os
import signal
import sys
from collections.abc import Mapping
from typing import IO

import torch
from torch import Tensor

from venhancer.errors import VEnhancerError
from venhancer.models.autoencoder import InParts
from venhancer.models.controlnet import KeyFrames
from venhancer.models.offload import bring
from venhancer.models.prompts import ProjectedText, unpack_prompts
from venhancer.pipeline import VEnhancerPipeline
from venhancer.planning.execution import Execution
from venhancer.planning.memory import is_out_of_memory
from venhancer.runtime.heap import keep_freed_memory
from venhancer.weights import load_pipeline
from venhancer.workers.channel import Message, receive, send


def main() -> None:
    """Load the model, say that it is ready, and work until there is nothing more to do."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which then ends this one's input
    setup = receive(sys.stdin.buffer).values
    torch.set_num_threads(setup["threads"])
    try:
        how = {name: setup[name] for name in ("adapter", "adapter_apart", "decoder", "device", "dtype")}
        pipeline = load_pipeline(setup["model"], **how)
    except VEnhancerError as error:
        send(answers, {"failure": str(error)})
        return
    if pipeline.traits.keeps_freed_memory:
        keep_freed_memory()
    send(answers, {"weights": pipeline.fingerprint()})
    try:
        _work(pipeline, sys.stdin.buffer, answers)
    except (EOFError, BrokenPipeError):  # the first process has ended
        return


@torch.inference_mode()
def _work(pipeline: VEnhancerPipeline, questions: IO[bytes], answers: IO[bytes]) -> None:
    execution, prompts = Execution(), list[ProjectedText]()
    while True:
        question = receive(questions)
        if "execution" in question.values:
            execution = Execution(**question.values["execution"])
            pipeline.arrange(execution.offload)
            prompts = unpack_prompts(_on(pipeline, question.tensors), question.values["prompts"])
            continue
        try:
            answer = _answer(pipeline, execution, prompts, question)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            send(answers, {"out_of_memory": str(error)})
            pipeline.release_memory()
        else:
            send(answers, {}, answer)


def _answer(
    pipeline: VEnhancerPipeline, execution: Execution, prompts: list[ProjectedText], question: Message
) -> dict[str, Tensor]:
    given = _on(pipeline, question.tensors)
    if coding := question.values.get("coding"):
        bring((pipeline.vae,), pipeline.networks.values(), pipeline.device, execution.offload)
        assert isinstance(pipeline.vae, InParts)
        return {"part": pipeline.vae.code_part(coding, given["part"])}
    key_frames = KeyFrames(*(given[name] for name in KeyFrames._fields))
    chosen = [prompts[number] for number in question.values["prompts"]]
    predictions = pipeline.predictor(execution)(key_frames, given["noisy_latents"], given["timesteps"], chosen)
    return {str(number): one for number, one in enumerate(predictions)}


def _on(pipeline: VEnhancerPipeline, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(pipeline.device) for name, tensor in tensors.items()}


if __name__ == "__main__":
    main()
