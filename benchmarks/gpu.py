"""Measure what can only be measured on a GPU, in under eight minutes, and show that its results are right.

    python benchmarks/gpu.py --output gpu.json         `make bench-gpu`
    python benchmarks/gpu.py --tiny                    a rehearsal on any CPU, in a few minutes

The model is Slam's (358 million parameters, rows of 1,024), its data random documents. The parts stand in the order of
their worth; one that fails does not stop the others, and none is begun after --seconds. Each writes a line, and all of
them the JSON file.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

import numpy as np
import torch
from torch import Tensor

from slamflow import files
from slamflow.lm import compilation, devices
from slamflow.lm.attention import model_inputs, use_attention
from slamflow.lm.calibration import random_rows
from slamflow.lm.devices import Machine
from slamflow.lm.engine import make_engine
from slamflow.lm.flops import training_flops_per_token
from slamflow.lm.initial import build_model
from slamflow.lm.job_settings import TrainModel
from slamflow.lm.loop import optimize
from slamflow.lm.next_token_loss import NextToken
from slamflow.lm.objective import Inputs
from slamflow.lm.objectives.next_token import NextTokenModel
from slamflow.lm.peaks import peak_of
from slamflow.lm.training import train_model
from slamflow.shards.rows import Rows
from slamflow.vocabulary import Vocabulary

SLAM = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
UNITS = 500
VOCABULARY = Vocabulary(units=UNITS)
DOCUMENT_UNITS = 195
"""Of a document; Slam's are pieces of speech of about ten seconds."""
KINDS_OF_KERNELS = (
    ("products of matrices", ("gemm", "nvjet", "cutlass", "xmma", "mm", "cublas")),
    ("attention", ("flex", "flash", "fmha", "attn")),
    ("fused", ("triton",)),
    ("copies", ("copy", "memcpy", "memset")),
    ("sums and norms", ("reduce", "norm", "softmax")),
    ("optimizer", ("adam", "multi_tensor")),
)


class Bench:
    """What all parts share: the device, the sizes, a folder with rows."""

    def __init__(self, folder: Path, tiny: bool) -> None:
        self.folder, self.tiny = folder, tiny
        self.ranks = devices.start(threads=4 if torch.cuda.is_available() else 2)
        self.device = self.ranks.device
        self.cuda = self.device.type == "cuda"
        small = {"hidden_size": 56, "intermediate_size": 112, "num_hidden_layers": 2}
        self.shape = {**SLAM, **small} if tiny else SLAM
        self.precision = "bf16" if self.cuda else "fp32"  # which a CPU may only imitate, very slowly
        self.context, self.rows = (128, (1, 2)) if tiny else (1024, (8, 32))
        self.data = random_rows(folder / "rows", self.context, UNITS, DOCUMENT_UNITS)

    def settings(self, rows: int, layers: int | None = None, **changes: Any) -> NextTokenModel:
        """Settings of a training with so many rows in a step."""
        shape = self.shape if layers is None else {**self.shape, "num_hidden_layers": layers}
        values = {"init": "scratch", "data": "random", "architecture": shape, "tokens": 1}
        return NextTokenModel.model_validate({**values, "batch_tokens": rows * self.context, **changes})

    def wait(self) -> None:
        """Until the device has done all that it was asked."""
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any], times: int = 5, warm_up: int = 2) -> float:
        """The median time of some work."""
        for _ in range(warm_up):
            work()
        self.wait()
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    @contextmanager
    def training(self, rows: int, machine: Machine, **changes: Any) -> Iterator[tuple[Callable[[], float], dict]]:
        """A function that does the loop's own next step and gives its loss, and what is known of the training."""
        torch.compiler.reset()
        gc.collect()  # what the last one held
        if self.cuda:
            torch.cuda.empty_cache()
        settings = self.settings(rows, **changes)
        model = build_model(settings, VOCABULARY, self.context, None)
        flops = training_flops_per_token(model, self.context)
        way = compilation.make_fast(model, machine, self.device, settings.precision)
        objective = NextToken(
            Rows(self.data), {}, settings, way.attention, machine.micro_batch_tokens, self.ranks, way.fixed_shapes
        )
        engine = make_engine(model, settings, machine, self.ranks, len(objective.micro_batches(0)))
        done = 0

        def step() -> float:
            nonlocal done
            batches = objective.micro_batches(done)
            count = float(sum(map(objective.count, batches)))
            means, _ = optimize(engine, objective, batches, count, settings, machine, self.ranks)
            done += 1
            return means["loss"]

        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        yield step, {**vars(way), "flops_per_token": flops, "precision": settings.precision}


def ceilings(bench: Bench) -> dict[str, Any]:
    """What the device reaches at best: a product of matrices, and a copy."""
    size, number = (512, 1 << 22) if bench.tiny else (8192, 1 << 30)
    matrix = torch.randn(size, size, device=bench.device, dtype=torch.bfloat16)
    source = torch.empty(number, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    return {
        "device": devices.device_name(bench.device),
        "torch": torch.__version__,
        "bf16_tflops": round(2 * size**3 / bench.seconds(lambda: matrix @ matrix, 10) / 1e12, 1),
        "copy_gb_per_second": round(2 * number / bench.seconds(lambda: target.copy_(source), 10) / 1e9),
        "cannot_compile": compilation.compiler_problem(bench.device.type),
    }


def same_numbers(bench: Bench) -> dict[str, Any]:
    """Loss and gradients of each attention against `documents`: the first backward pass of flex attention anywhere."""
    found: dict[str, Any] = {}
    batch = Rows(bench.data).read(np.arange(2))
    for precision in ("fp32", "bf16"):
        expected: Tensor | None = None
        for kind in ("documents", "sdpa", *(("flex_attention",) if bench.cuda else ())):
            model = build_model(bench.settings(2, layers=2), VOCABULARY, bench.context, None)
            use_attention(model, kind)  # type: ignore[arg-type]
            model.to(bench.device).train()
            with torch.autocast(bench.device.type, torch.bfloat16, enabled=precision == "bf16"):
                logits = model(**model_inputs(batch, kind, bench.device)).logits  # type: ignore[arg-type]
            targets = torch.from_numpy(batch.targets()).to(bench.device)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
            loss.backward()
            gradient = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
            expected = gradient if expected is None else expected
            away = float((gradient - expected).norm() / expected.norm())
            found[f"{precision} {kind}"] = {"loss": round(float(loss.detach()), 6), "gradient_differs": f"{away:.1e}"}
    return found


def training_rate(bench: Bench, rows: int, machine: Machine, profile: bool = False) -> dict[str, Any]:
    """Steps of four micro-batches of some rows: tokens per second, MFU, memory; by kind of kernel if asked."""
    machine = replace(machine, micro_batch_tokens=rows * bench.context, threads=4)
    with bench.training(4 * rows, machine, precision=bench.precision) as (step, known):
        began = time.monotonic()
        step()
        first = time.monotonic() - began
        seconds = bench.seconds(step, 3, 1)
        rate = 4 * rows * bench.context / seconds
        peak = peak_of(bench.device, known["precision"])
        found = {
            "attention": known["attention"],
            "compiled": known["compiled"],
            "tokens_per_second": round(rate),
            "mfu": round(rate * known["flops_per_token"] / peak, 4) if peak else None,
            "step_seconds": round(seconds, 4),
            "first_step_seconds": round(first, 1),
        }
        if bench.cuda:
            found["peak_gb"] = round(torch.cuda.max_memory_reserved() / 1e9, 1)
        return {**found, **by_kernel(bench, step)} if profile else found


def by_kernel(bench: Bench, step: Callable[[], Any]) -> dict[str, Any]:
    """How long kernels of each kind take in a step, in ms, and the share of the time in which any does."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if bench.cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        began = time.perf_counter()
        step()
        bench.wait()
        wall = time.perf_counter() - began
    times: dict[str, float] = {}
    for event in profile.key_averages():
        on_gpu = str(event.device_type).endswith("CUDA")
        if bench.cuda != on_gpu:
            continue
        microseconds = event.self_device_time_total if bench.cuda else event.self_cpu_time_total
        name = event.key.lower()
        kind = next((kind for kind, words in KINDS_OF_KERNELS if any(word in name for word in words)), "elementwise")
        times[kind] = times.get(kind, 0) + microseconds / 1e3
    shown = {kind: round(each, 1) for kind, each in sorted(times.items(), key=lambda item: -item[1])}
    return {"kernel_ms": shown, "busy": round(sum(times.values()) / wall / 1e3, 2)}


def as_written(bench: Bench) -> dict[str, Any]:
    """Training without compiling."""
    machine = Machine(compile=False)
    return {f"{rows} rows": training_rate(bench, rows, machine, rows == bench.rows[0]) for rows in bench.rows}


def compiled(bench: Bench) -> dict[str, Any]:
    """Training as it is by default on a GPU."""
    return {
        f"{rows} rows": training_rate(bench, rows, Machine(compile=True), rows == bench.rows[1]) for rows in bench.rows
    }


def compiled_sdpa(bench: Bench) -> dict[str, Any]:
    """The same with a dense mask."""
    return training_rate(bench, bench.rows[1], Machine(compile=True, attention="sdpa"))


def same_training(bench: Bench) -> dict[str, Any]:
    """How far the losses of a compiled training are from those of one that is not, in fp32 and bf16."""
    found = {}
    for precision in dict.fromkeys(("fp32", bench.precision)):
        losses = []
        for is_compiled in (False, True):
            machine = Machine(micro_batch_tokens=2 * bench.context, compile=is_compiled, attention="sdpa")
            with bench.training(5, machine, precision=precision, layers=2) as (step, _):
                losses.append([step() for _ in range(10)])
        found[precision] = {"largest difference": float(np.abs(np.subtract(*losses)).max()), "last loss": losses[0][-1]}
    return found


def exact_resume(bench: Bench) -> dict[str, Any]:
    """Whether two trainings are equal to the last bit, and one that was killed and resumed."""
    from safetensors.torch import load_file

    settings = bench.settings(5, layers=2, precision=bench.precision, save_every=5)
    settings = settings.model_copy(update={"tokens": 12 * 5 * bench.context})
    machine = Machine(micro_batch_tokens=2 * bench.context, threads=4, compile=True)
    job = TrainModel(recipe="bench", name="model", model=settings)
    original = NextToken.micro_batches

    def weights(name: str, stop: int | None = None) -> dict[str, Tensor]:
        def micro_batches(self: NextToken, step: int) -> Any:
            if step == stop:
                raise KeyboardInterrupt
            return original(self, step)

        with mock.patch.object(NextToken, "micro_batches", micro_batches):
            state, output = bench.folder / f"{name}.state", bench.folder / name
            train_model(job, Inputs(train=bench.data), machine, bench.ranks, state, output, "code")
        return load_file(output / "model.safetensors")

    first, second = weights("first"), weights("second")
    try:
        weights("third", stop=8)
    except KeyboardInterrupt:
        third = weights("third")
    return {
        "two runs": all(torch.equal(first[name], second[name]) for name in first),
        "killed and resumed": all(torch.equal(first[name], third[name]) for name in first),
    }


def block_masks(bench: Bench) -> dict[str, Any]:
    """What the mask of flex attention costs in a micro-batch."""
    from torch.nn.attention.flex_attention import create_block_mask

    batch = Rows(bench.data).read(np.arange(bench.rows[0]))
    document = torch.from_numpy(batch.document).to(bench.device)

    def visible(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (document[row, query] == document[row, key])

    sizes = len(document), None, bench.context, bench.context
    makers = {"eager": create_block_mask, "compiled": torch.compile(create_block_mask, dynamic=False)}
    return {
        f"{name} ms": round(1e3 * bench.seconds(lambda make=make: make(visible, *sizes, device=bench.device)), 2)
        for name, make in makers.items()
    }


def encoder(bench: Bench) -> dict[str, Any]:
    """Seconds of speech encoded per second, by precision, and the share of units that differ from those in fp32."""
    from transformers import HubertConfig, HubertModel

    from slamflow.tokenizers.codebook import Codebook, Quantizer
    from slamflow.tokenizers.frames import FrameEncoder
    from slamflow.tokenizers.networks.hubert import HubertEncoder
    from slamflow.tokenizers.tokenizer import prepare_torch

    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    tiny |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    config = HubertConfig(
        conv_dim=[16 if bench.tiny else 512] * 7,
        conv_stride=[5, 2, 2, 2, 2, 2, 4],
        conv_kernel=[10, 3, 3, 3, 3, 2, 2],
        **(tiny if bench.tiny else {}),
    )
    HubertModel(config).save_pretrained(bench.folder / "hubert")
    prepare_torch()
    random = np.random.default_rng(0)
    lengths = random.integers(3 * 16000, (4 if bench.tiny else 25) * 16000, 4 if bench.tiny else 120)
    waves = [0.1 * random.standard_normal(int(length)).astype(np.float32) for length in lengths]
    found: dict[str, Any] = {}
    quantizer, expected = None, np.empty(0)
    for precision in ("fp32", "tf32", "bf16"):
        layer = None if bench.tiny else 11
        network = HubertEncoder(bench.folder / "hubert", layer, False, 40, bench.device, precision)
        for batch_seconds in (160.0, 640.0):
            frames = FrameEncoder(network, network.rate_hz, 30.0, batch_seconds, precision)
            states = torch.cat(frames.encode(waves))
            taken = bench.seconds(lambda frames=frames: frames.encode(waves), 1, 0)
            found[f"{precision}, batches of {batch_seconds:g} s"] = round(sum(lengths) / 16000 / taken)
        if quantizer is None:
            drawn = torch.from_numpy(random.permutation(len(states))[: min(UNITS, len(states) // 2)])
            quantizer = Quantizer(Codebook(states[drawn.to(bench.device)].cpu().numpy()), bench.device)
            expected = quantizer.assign(states)[0]
        else:
            found[f"{precision}, units that differ"] = round(float((quantizer.assign(states)[0] != expected).mean()), 5)
    return found


def scoring(bench: Bench) -> dict[str, Any]:
    """Tokens scored per second, by positions at once."""
    from slamflow.scorers.language_model import LanguageModelScorer

    model = build_model(bench.settings(1), VOCABULARY, bench.context, None).to(bench.device).eval()
    random = np.random.default_rng(0)
    lengths = random.integers(40, 100, 40 if bench.tiny else 4000)
    sequences = [random.integers(0, UNITS, int(length)).astype(np.uint16) for length in lengths]
    return {
        f"{positions} positions": round(
            sum(lengths)
            / bench.seconds(lambda n=positions: LanguageModelScorer(model, VOCABULARY, n).nll(sequences), 1, 1)
        )
        for positions in (4096, 65536)
    }


def recognizer(_bench: Bench) -> dict[str, Any]:
    """What CTranslate2 finds."""
    import ctranslate2

    from slamflow.recognition.whisper import CUBLAS, load_cublas

    load_cublas()
    try:
        ctypes.CDLL(CUBLAS)
        found = True
    except OSError:
        found = False
    return {"devices": ctranslate2.get_cuda_device_count(), CUBLAS: found}


PARTS = (ceilings, same_numbers, as_written, compiled, same_training, exact_resume, compiled_sdpa, encoder)
PARTS += (block_masks, scoring, recognizer)


def main() -> None:
    """Measure, part after part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, on whatever device there is")
    parser.add_argument("--seconds", type=float, default=440.0, help="no part is begun after that")
    parser.add_argument("--parts", nargs="+", choices=[part.__name__ for part in PARTS], help="these alone")
    parser.add_argument("--output", type=Path, help="the figures, JSON")
    arguments = parser.parse_args()
    if not (arguments.tiny or torch.cuda.is_available()):
        from slamflow import gpus

        parser.error(f"there is no GPU ({gpus.reason()}); --tiny rehearses on the CPU")
    began = time.monotonic()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.tiny)
        for part in PARTS:
            name = part.__name__
            if arguments.parts and name not in arguments.parts:
                continue
            if time.monotonic() - began > arguments.seconds:
                found[name] = "left out: no time"
            else:
                try:
                    found[name] = part(bench)
                except Exception as error:  # the other parts are worth having
                    traceback.print_exc(limit=4)
                    found[name] = f"failed: {type(error).__name__}: {str(error)[:300]}"
            print(f"{time.monotonic() - began:5.0f} s  {name}: {json.dumps(found[name])}", flush=True)
            if arguments.output:
                files.write_json(arguments.output, found)
    devices.stop()
    if any(str(figures).startswith("failed") for figures in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
