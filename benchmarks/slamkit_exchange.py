"""Models to SlamKit and back: its own UnitLM reads our export, and we read what it writes.

Run with this project's Python; SlamKit runs in an environment of its own, given by its Python and a checkout:

    python benchmarks/slamkit_exchange.py --slamkit-python /path/to/env/bin/python --slamkit /path/to/slamkit

The environment needs torch, transformers 4.48.3 (SlamKit's pin) and omegaconf. Prints the largest differences as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from slamflow.adapters.slamkit import convert, export_slamkit
from slamflow.lm.model import export_model
from slamflow.scorers import mean_nll
from slamflow.scorers.language_model import LanguageModelScorer, load_model
from slamflow.vocabulary import Vocabulary

VOCABULARY = 502
ARCHITECTURES = {
    # As Qwen2.5-0.5B, in small: grouped queries, biases, tied embeddings, and Slam's base of the rotary embedding
    "qwen2": {
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    # As OPT-350M, TWIST's: learned positions, projections around narrow embeddings
    "opt": {
        "hidden_size": 64,
        "word_embed_proj_dim": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "ffn_dim": 96,
        "max_position_embeddings": 256,
        "do_layer_norm_before": False,
        "dropout": 0.0,
    },
}
THEIRS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import types
package = types.ModuleType("slamkit"); package.__path__ = [sys.argv[1] + "/slamkit"]; sys.modules["slamkit"] = package
model = types.ModuleType("slamkit.model"); model.__path__ = [sys.argv[1] + "/slamkit/model"]
sys.modules["slamkit.model"] = model
import numpy as np, torch
from slamkit.model.unit_lm import UnitLM, UnitLMConfig
work = sys.argv[2]
torch.set_num_threads(1)
sequences = json.load(open(work + "/sequences.json"))
def tokens(units):
    return torch.tensor([[1, *[unit + 2 for unit in units], 1]])
ours = UnitLM.from_pretrained(work + "/exported").eval()
nll = [float(ours.log_likelihood(tokens(units), True)[0]) for units in sequences]
torch.manual_seed(7)
extra = json.load(open(work + "/extra.json"))
config = UnitLMConfig(base_model_name=work + "/base", vocab_size=502, twist_init=True, **extra)
made = UnitLM(config).eval()
for parameter in made.parameters():
    parameter.data += 0.05 * torch.randn_like(parameter)
made.save_pretrained(work + "/made")
with torch.inference_mode():
    logits = made(input_ids=tokens(sequences[0])).logits[0].numpy()
np.save(work + "/logits.npy", logits)
import transformers
json.dump({"nll": nll, "theirs": [-float(made.log_likelihood(tokens(u), True)[0]) for u in sequences],
           "transformers": transformers.__version__}, open(work + "/result.json", "w"))
"""
"""What runs beside SlamKit. Its packages are entered by hand, so that its audio libraries need not be there."""


def exchange(kind: str, python: str, slamkit: Path, work: Path) -> dict[str, object]:
    random = np.random.default_rng(0)
    sequences = [random.integers(500, size=int(random.integers(3, 120))).astype(np.uint16) for _ in range(20)]
    (work / "sequences.json").write_text(json.dumps([units.tolist() for units in sequences]))
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    config = AutoConfig.for_model(kind, **ARCHITECTURES[kind], **ids, vocab_size=VOCABULARY)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    export_model(model, work / "ours")
    # A text model with the configuration's defaults: SlamKit must take theta and the tokens from the export.
    text = AutoConfig.for_model(kind, **{k: v for k, v in ARCHITECTURES[kind].items() if k != "rope_parameters"})
    text.vocab_size = 700
    export_model(AutoModelForCausalLM.from_config(text, dtype=torch.float32), work / "base")
    extra = {"rope_theta": 10000} if kind == "qwen2" else {}
    (work / "extra.json").write_text(json.dumps(extra))
    export_slamkit(work / "ours", work / "exported", str(work / "base"))
    # To save a configuration, SlamKit makes its default one, which is that of this model: a folder of the name is as
    # good as the hub.
    (work / "facebook/opt-350M").mkdir(parents=True)
    AutoConfig.for_model("opt").save_pretrained(work / "facebook/opt-350M")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([python, "-c", THEIRS, str(slamkit.resolve()), str(work)], check=True, cwd=work, env=offline)
    result = json.loads((work / "result.json").read_text())

    vocabulary = Vocabulary.of_size(VOCABULARY)
    expected = mean_nll(LanguageModelScorer(load_model(work / "ours"), vocabulary), sequences)
    convert(work / "made", work / "imported")
    imported = load_model(work / "imported")
    tokens = torch.tensor([[1, *[int(unit) + 2 for unit in sequences[0]], 1]])
    with torch.inference_mode():
        logits = imported(input_ids=tokens).logits[0].numpy()
    theirs = np.load(work / "logits.npy")
    return {
        "model": kind,
        "slamkit_transformers": result["transformers"],
        "sequences": len(sequences),
        "nll_mean": round(float(expected.mean()), 4),
        "nll_of_our_export_largest_difference": float(np.abs(-np.array(result["nll"]) - expected).max()),
        "nll_of_their_model_largest_difference": float(
            np.abs(np.array(result["theirs"]) - mean_nll(LanguageModelScorer(imported, vocabulary), sequences)).max()
        ),
        "logits_of_their_model_largest_difference": float(np.abs(theirs - logits).max()),
        "logits_standard_deviation": round(float(theirs.std()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slamkit-python", required=True, help="Python of SlamKit's environment")
    parser.add_argument("--slamkit", type=Path, required=True, help="a checkout of SlamKit")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    for kind in ARCHITECTURES:
        with tempfile.TemporaryDirectory() as work:
            found = exchange(kind, arguments.slamkit_python, arguments.slamkit, Path(work))
        print(json.dumps(found, indent=2))
        differences = [value for key, value in found.items() if key.endswith("largest_difference")]
        if max(differences) > 1e-4:
            sys.exit(f"{kind}: differs by more than 1e-4")


if __name__ == "__main__":
    main()
