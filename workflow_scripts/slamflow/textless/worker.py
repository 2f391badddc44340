"""The side of textlesslib: a program that its own environment's Python runs, and that imports nothing of slamflow.

    python textless_worker.py encoder CHECKPOINT.pt LAYER     waveforms in, states out
    python textless_worker.py vocoder FOLDER                  units (and durations) in, a waveform out

Messages are a line of JSON and the numbers behind it. fairseq unpickles CHECKPOINT.pt, and so runs what it asks for.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

Reply = tuple[dict[str, Any], bytes]
Answering = Callable[[dict[str, Any], bytes], Reply]


def read(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    header = json.loads(line)
    data = stream.read(header["bytes"])
    if len(data) != header["bytes"]:
        raise EOFError("a message was cut off")
    return header, data


def write(stream: BinaryIO, header: dict[str, Any], data: bytes = b"") -> None:
    """Send a message."""
    stream.write(json.dumps({**header, "bytes": len(data)}).encode() + b"\n" + data)
    stream.flush()


def encoder(checkpoint: str, layer: str) -> tuple[dict[str, Any], Answering]:
    """textlesslib's HuBERT."""
    import numpy as np
    import torch
    from textless.data.hubert_feature_reader import HubertFeatureReader

    reader = HubertFeatureReader(checkpoint, layer=int(layer))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    reader.to(device)
    convolutions = [block[0] for block in reader.model.feature_extractor.conv_layers]
    about = {
        "kernels": [convolution.kernel_size[0] for convolution in convolutions],
        "strides": [convolution.stride[0] for convolution in convolutions],
        "dimension": reader.model.encoder.embedding_dim,
    }

    def states(_: dict[str, Any], data: bytes) -> Reply:
        wave = torch.from_numpy(np.frombuffer(data, np.float32).copy())
        found = reader(wave).float().numpy()
        return {"shape": found.shape}, found.tobytes()

    return about, states


def vocoder(folder: str) -> tuple[dict[str, Any], Answering]:
    """textlesslib's unit HiFi-GAN with the weights of convert_vocoder, whose weight norms are folded in."""
    import numpy as np
    import torch
    from safetensors.torch import load_file
    from textless.vocoders.hifigan.generator import CodeGenerator

    about = json.loads(Path(folder, "vocoder.json").read_text(encoding="utf-8"))
    model = CodeGenerator(about["published"]).eval()
    model.remove_weight_norm()
    renamed = {}
    for name, tensor in load_file(str(Path(folder, "vocoder.safetensors"))).items():
        if name in ("generator.mean", "generator.scale"):
            continue
        new = name.removeprefix("generator.").replace("upsampler.", "ups.").replace("embedding.", "dict.")
        for ours, theirs in (("conv1", "conv1.0"), ("conv2", "conv2.0"), ("norm", "ln"), ("out", "proj")):
            if name.startswith(f"duration.{ours}"):
                new = name.replace(f"duration.{ours}", f"dur_predictor.{theirs}")
        renamed[new] = tensor
    model.load_state_dict(renamed)

    def speak(header: dict[str, Any], data: bytes) -> Reply:
        numbers = torch.from_numpy(np.frombuffer(data, np.int64).reshape(header["rows"], -1).copy())
        with torch.inference_mode():
            if header["wanted"] == "durations":
                logs = model.dur_predictor(model.dict(numbers[:1]))
                found = torch.clamp(torch.round(torch.exp(logs) - 1).long(), min=1)[0].numpy()
            else:
                code = torch.repeat_interleave(numbers[0], numbers[1])[None]
                found = model(code=code, dur_prediction=False).reshape(-1).numpy()
        return {"shape": found.shape}, found.tobytes()

    return {}, speak


def main() -> None:
    # What the libraries print must not come between the messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(1)
    about, answer = encoder(*sys.argv[2:]) if sys.argv[1] == "encoder" else vocoder(*sys.argv[2:])
    write(answers, about)
    while (message := read(sys.stdin.buffer)) is not None:
        try:
            write(answers, *answer(*message))
        except Exception as error:
            write(answers, {"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
