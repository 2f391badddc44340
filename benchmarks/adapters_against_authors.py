"""Published models against their authors' own code: tiny checkpoints that its classes write, and its own scores.

Run with this project's Python. The authors' code runs in processes of its own, with a Python that has torch and

    --modern   transformers (this project's will do): Scaled Optimal's, ZeroSyl's and TWIST's classes
    --slamkit-python   transformers 4.48.3 and omegaconf: SlamKit's
    --fairseq-python   omegaconf, hydra-core, bitarray, sacrebleu: fairseq's

and takes checkouts: --fairseq, the unpacked sources of fairseq-fixed 0.12.3.1 with its two Cython modules
(data_utils_fast, token_block_utils_fast) built in place; --slamkit slp-rl/slamkit, --salmon slp-rl/salmon,
--slm tiagoCuervo/slm_scaling, --zerosyl nicolvisser/ZeroSyl. What is not given is left out. Prints a table: for each
format the mean NLL, and the largest difference between the authors' scores and ours, both in batches of several sizes.
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

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

import import_model
from slamflow.scorers import mean_nll
from slamflow.scorers.language_model import LanguageModelScorer

BATCHES = (1, 4, 12)
START = """
import json, sys, types
from unittest.mock import MagicMock
import torch
from torch.nn.utils.rnn import pad_sequence
torch.set_num_threads(1)
torch.manual_seed(3)
folder, code, request = sys.argv[1], sys.argv[2], json.load(open(sys.argv[3]))
sequences = [torch.tensor(units) for units in request["sequences"]]
found = {}
def batches(size):
    return [sequences[first : first + size] for first in range(0, len(sequences), size)]
def bare(name, path):
    package = types.ModuleType(name); package.__path__ = [path]; sys.modules[name] = package
def spread(model, by=0.2):
    for parameter in model.parameters():
        parameter.data += by * torch.randn_like(parameter)
    return model.eval()
def finish():
    json.dump(found, open(sys.argv[4], "w"))
"""
SLAMKIT = (
    START
    + """
bare("slamkit", code + "/slamkit"); bare("slamkit.model", code + "/slamkit/model")
import transformers
from slamkit.model.unit_lm import UnitLM, UnitLMConfig
config = transformers.Qwen2Config(vocab_size=900, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, intermediate_size=64, max_position_embeddings=256, tie_word_embeddings=True,
    pad_token_id=0, bos_token_id=1, eos_token_id=1, rope_theta=5000.0)
base = folder + "-base"
transformers.Qwen2ForCausalLM(config).save_pretrained(base)
model = spread(UnitLM(UnitLMConfig(base_model_name=base, vocab_size=502, twist_init=True)))
model.save_pretrained(folder)
for size in request["batches"]:
    found[size] = []
    for batch in batches(size):
        rows = [torch.cat([torch.tensor([1]), units + 2, torch.tensor([1])]) for units in batch]
        tokens = pad_sequence(rows, batch_first=True, padding_value=0)
        found[size] += (-model.log_likelihood(tokens, True)).tolist()
finish()
"""
)
SIMS = (
    START
    + """
bare("slamkit", code + "/slamkit"); bare("slamkit.model", code + "/slamkit/model")
bare("slamkit.tokeniser", code + "/slamkit/tokeniser"); bare("slamkit.feature_extractor", code + "/x")
sys.modules["slamkit.feature_extractor.audio_feature_extractor"] = MagicMock()
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from slamkit.model.unit_lm import UnitLM, UnitLMConfig
from slamkit.tokeniser.interleaving_tokeniser import InterleavingTokeniser
words = {"<unk>": 0, "a": 1, "b": 2, "<s>": 3, "</s>": 4, "c": 5}
text = Tokenizer(WordLevel(words, unk_token="<unk>"))
text.pre_tokenizer = Split("", "isolated")
bos = request["bos"]
if bos:
    text.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 3)])
plain = transformers.PreTrainedTokenizerFast(tokenizer_object=text, bos_token="<s>" if bos else None, eos_token="</s>")
plain.save_pretrained(folder + "-text")
tokeniser = InterleavingTokeniser(None, load_fe=False, text_tokeniser_path=folder + "-text")
config = transformers.Qwen2Config(vocab_size=900, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, intermediate_size=64, max_position_embeddings=256, tie_word_embeddings=not bos,
    pad_token_id=0, bos_token_id=1, eos_token_id=1)
base = folder + "-base"
transformers.Qwen2ForCausalLM(config).save_pretrained(base)
size = len(tokeniser.text_tokeniser)
model = spread(UnitLM(UnitLMConfig(base_model_name=base, vocab_size=size, twist_init=True)))
model.save_pretrained(folder)
plain.save_pretrained(folder)
ignored = tokeniser.get_ignore_tokens("SPEECH")
for size in request["batches"]:
    found[size] = []
    for batch in batches(size):
        texts = tokeniser.stringify_representation([{"units": units.tolist()} for units in batch])
        tokens = tokeniser.string_tokenise(texts, return_tensors="pt", padding=True)["input_ids"]
        found[size] += (-model.log_likelihood(tokens, True, ignored)).tolist()
finish()
"""
)
TWIST = (
    START
    + """
for name in ("wget", "textless", "textless.data", "textless.data.speech_encoder", "textless.data.f0_preprocess",
             "fairseq"):
    sys.modules.setdefault(name, MagicMock())
sys.path.insert(0, code)
import transformers
if request["llama"]:
    kind, config = transformers.LlamaForCausalLM, transformers.LlamaConfig(vocab_size=504, hidden_size=48,
        intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, pad_token_id=3)
else:
    kind, config = transformers.OPTForCausalLM, transformers.OPTConfig(vocab_size=504, hidden_size=48, ffn_dim=64,
        num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=24, do_layer_norm_before=False, pad_token_id=1)
config.offset = 4
model = spread(kind(config), 0.05)
model.save_pretrained(folder)
from baselines.inference import SLMInferenceModel
theirs = SLMInferenceModel.__new__(SLMInferenceModel)
class Tokenizer:
    def eval(self): pass
    def __call__(self, wavs, offset): return [units + offset for units in wavs]
theirs.tokenizer, theirs.speech_lm, theirs.mean_nll = Tokenizer(), kind.from_pretrained(folder), True
theirs.offset, theirs.padding_value = theirs.speech_lm.config.offset, theirs.speech_lm.config.pad_token_id
with torch.no_grad():
    for size in request["batches"]:
        found[size] = [-value for batch in batches(size) for value in theirs.log_likelihood(batch).tolist()]
finish()
"""
)
SLM = (
    START
    + """
sys.path.insert(0, code + "/src")
from slm.model import ModelArgs, TransformerLM
import slm.evaluate as evaluate
model = spread(TransformerLM(ModelArgs(dim=48, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=502, multiple_of=16,
    block_size=256)))
model.save_pretrained(folder)
model = TransformerLM.from_pretrained(folder)
class Shard:
    meta = {"preprocessing": {"eos_token": 500, "pad_token": 501}}
    def __len__(self): return len(sequences)
    def sample(self, index): return {"audio": torch.cat([sequences[index], torch.tensor([500])]).numpy()}
evaluate._metadata = lambda shard: [{"id": str(index)} for index in range(len(sequences))]
for size in request["batches"]:
    rows = evaluate.score_shard(model, Shard(), size, torch.device("cpu"), "float32", include_terminal_eos=False)
    found[size] = [row["nll"] for row in rows]
finish()
"""
)
ZEROSYL = (
    START
    + """
import importlib.util
spec = importlib.util.spec_from_file_location("lm", code + "/zerosyl/lm.py")
lm = importlib.util.module_from_spec(spec); spec.loader.exec_module(lm)
from transformers import OPTConfig
config = OPTConfig(vocab_size=503, hidden_size=48, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
    word_embed_proj_dim=48, bos_token_id=500, eos_token_id=501, pad_token_id=502)
model = spread(lm.LanguageModel(config), 0.05)
import os
os.mkdir(folder)
torch.save({"cfg": config.to_dict(), "model": model.state_dict()}, folder + "/lm.pt")
# One at a time: in a batch their sum takes in a position of padding.
found[1] = [-value for units in sequences for value in model.loglikelihoods([model.tokenize(units)])]
finish()
"""
)
GSLM = (
    START
    + """
sys.path.insert(0, code)
import argparse, os, random
import numpy as np
for name, kind in {"float": float, "int": int}.items():
    if name not in vars(np): setattr(np, name, kind)
np.compat = types.SimpleNamespace(long=int)  # numpy 2 has none of these
from fairseq.data import Dictionary
from fairseq.models.transformer_lm import TransformerLanguageModel, transformer_lm_big
from fairseq.sequence_scorer import SequenceScorer
from fairseq.tasks.language_modeling import LanguageModelingTask
os.mkdir(folder)
order = list(range(100)); random.Random(0).shuffle(order)
with open(folder + "/dict.txt", "w") as lines:
    for count, unit in enumerate(order):
        lines.write(f"{unit} {1000 - count}\\n")
dictionary = Dictionary.load(folder + "/dict.txt")
arguments = argparse.Namespace(arch="transformer_lm_big", task="language_modeling", data=folder,
    share_decoder_input_output_embed=True, dropout=0.1, attention_dropout=0.1, tokens_per_sample=256,
    max_target_positions=256, decoder_embed_dim=48, decoder_ffn_embed_dim=64, decoder_layers=2,
    decoder_attention_heads=4, sample_break_mode="eos", add_bos_token=False, output_dictionary_size=-1,
    self_target=False, future_target=False, past_target=False)
transformer_lm_big(arguments)
task = LanguageModelingTask(arguments, dictionary, dictionary)
model = spread(TransformerLanguageModel.build_model(arguments, task))
torch.save({"args": arguments, "model": model.state_dict()}, folder + "/lm.pt")
scorer = SequenceScorer(dictionary)
texts = [" ".join(map(str, units.tolist())) for units in sequences]
rows = [dictionary.encode_line(text, add_if_not_exist=False).long() for text in texts]
for size in request["batches"]:
    found[size] = []
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        data = task.build_dataset_for_inference(part, torch.LongTensor([row.numel() for row in part]))
        sample = data.collater([data[index] for index in range(len(part))])
        found[size] += [-float(hypothesis[0]["score"]) for hypothesis in scorer.generate([model], sample)]
finish()
"""
)


def compare(
    name: str, adapter: str, script: str, python: str, code: Path, units: int, work: Path, **more: object
) -> str:
    """One line of the table."""
    random = np.random.default_rng(1)
    sequences = [random.integers(units, size=int(random.integers(2, 120))) for _ in range(24)]
    folder, request, answer = (work / part for part in ("published", "request.json", "answer.json"))
    request.write_text(json.dumps({"sequences": [one.tolist() for one in sequences], "batches": BATCHES, **more}))
    # To save a configuration, SlamKit makes its default one, which is that of this model: a folder of the name will do.
    (work / "facebook/opt-350M").mkdir(parents=True)
    (work / "facebook/opt-350M/config.json").write_text('{"model_type": "opt"}')
    command = [python, "-c", script, str(folder), str(code.resolve()), str(request), str(answer)]
    subprocess.run(command, check=True, cwd=work, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    theirs = {int(size): np.array(scores) for size, scores in json.loads(answer.read_text()).items()}
    import_model.main(["--adapter", adapter, "--source", str(folder), "--output", str(work / "imported")])
    scorer = LanguageModelScorer.load(work / "imported")
    largest = 0.0
    for positions in (1, 700, 4096):
        scorer.positions = positions
        ours = mean_nll(scorer, [one.astype(np.uint16) for one in sequences])
        largest = max(largest, *(float(np.abs(ours - scores).max()) for scores in theirs.values()))
    mean = float(np.mean(theirs[1]))
    sizes = ", ".join(map(str, theirs))
    return f"| {name} | `{adapter}` | {sizes} | {mean:.2f} | {float(np.ptp(theirs[1])):.2f} | {largest:.1e} |"


def main() -> None:
    """Print the table of what is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("--modern", "--slamkit-python", "--fairseq-python"):
        parser.add_argument(flag, default=sys.executable, help="a Python")
    for flag in ("--slamkit", "--salmon", "--slm", "--zerosyl", "--fairseq"):
        parser.add_argument(flag, type=Path, help="a checkout")
    given = parser.parse_args()
    runs = [
        ("SlamKit, Qwen2", "slamkit", SLAMKIT, given.slamkit_python, given.slamkit, 500, {}),
        ("SIMS, no BOS", "sims", SIMS, given.slamkit_python, given.slamkit, 500, {"bos": False}),
        ("SIMS, BOS", "sims", SIMS, given.slamkit_python, given.slamkit, 500, {"bos": True}),
        ("TWIST, OPT", "twist", TWIST, given.modern, given.salmon, 500, {"llama": False}),
        ("TWIST, LLaMA", "twist", TWIST, given.modern, given.salmon, 500, {"llama": True}),
        ("Scaled Optimal", "slm", SLM, given.modern, given.slm, 500, {}),
        ("GSLM, fairseq", "gslm", GSLM, given.fairseq_python, given.fairseq, 100, {}),
        ("ZeroSyl", "zerosyl", ZEROSYL, given.modern, given.zerosyl, 500, {}),
    ]
    print("| authors' code | adapter | its batches | mean NLL | range of NLL | largest difference |")
    print("|---|---|---|---|---|---|")
    for name, adapter, script, python, code, units, more in runs:
        if code is None:
            continue
        with tempfile.TemporaryDirectory() as work:
            try:
                print(compare(name, adapter, script, python, code, units, Path(work), **more), flush=True)
            except subprocess.CalledProcessError as error:
                print(f"| {name} | `{adapter}` | failed, code {error.returncode} | | | |", flush=True)


if __name__ == "__main__":
    main()
