"""Several devices for one video: one process each, and this one, which steps the solver and adds everything up.

What travels is a window's tile of latents and the predictions of it, a few megabytes a step and nothing a layer, and
tiles of pictures on their way to latents and back. The sums are made here, in the order of one device, so that the
result is that of one device to the byte.
"""

import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from os import environ
from queue import SimpleQueue
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import torch
from torch import Tensor

from venhancer.errors import JobFailed, SettingsError
from venhancer.models.controlnet import KeyFrames
from venhancer.models.prompts import Predict, ProjectedText, pack_prompts
from venhancer.models.sharing import Coding
from venhancer.pipeline import VEnhancerPipeline
from venhancer.planning.execution import ITEMS_A_DEVICE
from venhancer.workers.channel import Message, receive, send

Item = TypeVar("Item")
Result = TypeVar("Result")


class Worker:
    """A process that works on a device of its own.

    Args:
        device: its name.
        setup: what it is told first: model, adapter, whether it stays apart, decoder, device, number format, threads.

    Attributes:
        bytes: that travelled, both ways.
        predictions: that it was asked for.
        codings: of parts of pictures, likewise.
    """

    def __init__(self, device: str, setup: dict[str, object]) -> None:
        self.device = device
        self.bytes = self.predictions = self.codings = 0
        self.log = TemporaryFile()  # noqa: SIM115 - open as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "venhancer.workers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environ | {"OMP_NUM_THREADS": str(setup["threads"])},
        )
        self.tell(setup)

    @property
    def _streams(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout

    def tell(self, values: dict[str, object], tensors: dict[str, Tensor] | None = None) -> None:
        """Send a message.

        Raises:
            JobFailed: the process is gone.
        """
        try:
            self.bytes += send(self._streams[0], values, tensors)
        except OSError as error:
            raise self._ended() from error

    def hear(self) -> Message:
        """Return its answer.

        Raises:
            JobFailed: the process is gone, or cannot load the model.
            MemoryError: its memory ran out.
        """
        try:
            answer = receive(self._streams[1])
        except (EOFError, OSError) as error:
            raise self._ended() from error
        self.bytes += sum(tensor.nbytes for tensor in answer.tensors.values())
        if reason := answer.values.get("out_of_memory"):
            raise MemoryError(f"out of memory on {self.device}: {reason}")
        if reason := answer.values.get("failure"):
            raise JobFailed(f"the worker on {self.device} cannot start: {reason}")
        return answer

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (*self._streams, self.log):
            with suppress(OSError):  # what it was still to be told
                stream.close()

    def _ended(self) -> JobFailed:
        code = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").split("\n")
        how = signal.Signals(-code).name if code < 0 else next((line for line in reversed(lines) if line), str(code))
        return JobFailed(f"the worker on {self.device} ended ({how}); run the same command again to resume")


class Workers:
    """Devices that share the work on one video. A context manager; outside of it the pipeline is as before.

    Args:
        pipeline: on the first device.
        devices: the others, such as "cuda:1"; "cpu" stands for a process with its share of this one's threads.

    Raises:
        SettingsError: the devices are not of one kind, so that they would not agree to the bit.
        JobFailed: a worker cannot start, or loads other weights.
    """

    def __init__(self, pipeline: VEnhancerPipeline, devices: Sequence[str]) -> None:
        kinds = {torch.device(device).type for device in devices} | {pipeline.device.type}
        if len(kinds) > 1:
            raise SettingsError(
                f"devices of several kinds ({', '.join(sorted(kinds))}) give other bytes; pass one kind"
            )
        self.pipeline = pipeline
        self._threads = torch.get_num_threads()
        threads = max(1, self._threads // (len(devices) + 1)) if kinds == {"cpu"} else self._threads
        torch.set_num_threads(threads)
        dtype = {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(pipeline.unet.dtype, "fp32")
        traits = pipeline.traits
        files = {
            "adapter": traits.adapter and str(traits.adapter.file),
            "decoder": traits.decoder and str(traits.decoder),
        }
        apart = traits.adapter is not None and traits.adapter.is_apart
        setup = {"model": str(traits.name), **files, "adapter_apart": apart, "dtype": dtype, "threads": threads}
        self.others = [Worker(device, {**setup, "device": device}) for device in devices]
        self._free: SimpleQueue[Worker | None] = SimpleQueue()  # None is this process
        self._prompts: list[ProjectedText] = []
        self._together = True
        self._failures: list[BaseException] = []
        try:
            for worker in self.others:
                if worker.hear().values["weights"] != pipeline.fingerprint():
                    raise JobFailed(f"the worker on {worker.device} loads other weights than this process")
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Self:
        """Let the pipeline use the devices, if there are others than its own."""
        self.pipeline.workers = self if self.others else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the pipeline as it was, and end the processes."""
        self.pipeline.workers = None
        self.end()

    def end(self) -> None:
        """End the processes."""
        for worker in self.others:
            worker.end()
        torch.set_num_threads(self._threads)

    def describe(self) -> str:
        """Return in words what travelled; empty if there is no other device."""
        if not self.others:
            return ""
        names = "bytes", "predictions", "codings"
        exchanged, predictions, codings = (sum(getattr(one, name) for one in self.others) for name in names)
        work = f"{predictions} predictions" + (f" and {codings} coded parts" if codings else "")
        return f"; {exchanged / 1e6:,.1f} MB travelled between devices for {work} of others"

    def begin(self, prompts: Sequence[ProjectedText], execution: Mapping[str, Any]) -> None:
        """Get ready for a clip; see `venhancer.models.prompts.Spread`.

        Raises:
            JobFailed: a worker is gone.
        """
        self._prompts, self._together = list(prompts), bool(execution["batches_guidance"])
        self._free, self._failures = SimpleQueue(), []
        for worker in self.others:
            worker.tell({"execution": dict(execution), "prompts": len(prompts)}, pack_prompts(prompts))
        for device in (None, *self.others):
            self._free.put(device)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield a function's results in order; it is called for `ITEMS_A_DEVICE` items a device at once.

        Raises:
            JobFailed: a worker is gone.
            MemoryError: some device's memory ran out.
        """
        call, most = torch.inference_mode()(function), ITEMS_A_DEVICE * (len(self.others) + 1)
        begun: deque[Future[Result]] = deque()
        with ThreadPoolExecutor(most) as threads:
            for item in items:
                begun.append(threads.submit(call, item))
                if len(begun) == most:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()

    def predict(
        self,
        own: Predict,
        key_frames: KeyFrames,
        noisy_latents: Tensor,
        timesteps: Tensor,
        prompts: Sequence[ProjectedText],
    ) -> Sequence[Tensor]:
        """Return one v a prompt, from whichever device is free; see `venhancer.models.prompts.predict_velocities`.

        Raises:
            JobFailed: a worker is gone.
            MemoryError: the device's memory ran out.
        """
        if len(prompts) > 1 and not self._together:
            rest = own, key_frames, noisy_latents, timesteps
            return [one for (one,) in self.map(lambda prompt: self.predict(*rest, [prompt]), prompts)]

        def ask(worker: Worker) -> Sequence[Tensor]:
            numbers = [next(n for n, each in enumerate(self._prompts) if each is one) for one in prompts]
            tensors = {**key_frames._asdict(), "noisy_latents": noisy_latents, "timesteps": timesteps}
            worker.tell({"prompts": numbers}, tensors)
            answer = worker.hear().tensors
            worker.predictions += 1
            return [answer[str(number)].to(noisy_latents.device) for number in range(len(prompts))]

        return self._on_free_device(lambda: own(key_frames, noisy_latents, timesteps, prompts), ask)

    def code(self, own: Callable[[Tensor], Tensor], coding: Coding, part: Tensor) -> Tensor:
        """Return a part coded by whichever device is free; see `venhancer.models.autoencoder.InParts.code_part`.

        Raises:
            JobFailed: a worker is gone.
            MemoryError: the device's memory ran out.
        """

        def ask(worker: Worker) -> Tensor:
            worker.tell({"coding": coding}, {"part": part})
            answer = worker.hear().tensors["part"]
            worker.codings += 1
            return answer.to(part.device)

        return self._on_free_device(lambda: own(part), ask)

    def _on_free_device(self, own: Callable[[], Result], ask: Callable[[Worker], Result]) -> Result:
        device = self._free.get()
        try:
            if self._failures:
                raise self._failures[0]
            return own() if device is None else ask(device)
        except BaseException as error:
            self._failures.append(error)  # for those that wait: what is left of this evaluation is not worth its time
            raise
        finally:
            self._free.put(device)
