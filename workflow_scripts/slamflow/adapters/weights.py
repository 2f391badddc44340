"""Reading and writing folders of weights, for all adapters: no pickle of a published model is executed."""

from __future__ import annotations

import gzip
import pickle
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from slamflow import files
from slamflow.assets.torch_checkpoint import Stored, read_checkpoint, tensors
from slamflow.assets.transformers_folder import check_against_class, write_weights
from slamflow.corpora.archives import check_end
from slamflow.errors import InputError

State = dict[str, torch.Tensor]

ARCHIVES = ("*.zip", "*.tgz", "*.tar.gz")
CANNOT_UNPACK = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError, ValueError)
"""What a damaged archive raises; RuntimeError for one that is encrypted."""
NOT_CARRIED = ("architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path", "auto_map")
"""Keys of a published config.json that are no part of a model's shape."""


@contextmanager
def unpacked(source: Path, beside: Path) -> Iterator[Path]:
    """The folder of the published files: `source`, or a temporary one next to `beside` with what its archive holds.

    Only regular files are taken from an archive, by their base names. Raises InputError for a damaged archive and for
    several; an InputError about an unpacked file names the archive instead of the temporary folder.
    """
    archives = sorted(path for pattern in ARCHIVES for path in source.glob(pattern))
    if not archives or (source / "config.json").is_file():
        yield source
        return
    if len(archives) > 1:
        raise InputError(f"{source}: has {len(archives)} archives ({', '.join(path.name for path in archives)})")
    beside.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside.parent, prefix=".unpacked-") as folder:
        try:
            _unpack(archives[0], Path(folder))
        except CANNOT_UNPACK as error:
            raise InputError(f"{archives[0]}: cannot be unpacked ({error})") from None
        try:
            yield Path(folder)
        except InputError as error:
            raise InputError(str(error).replace(folder, str(archives[0]))) from None


def _unpack(archive: Path, folder: Path) -> None:
    def take(name: str, stream: Any) -> None:
        target = folder / PurePosixPath(name).name
        if target.exists():
            raise ValueError(f"it has two files {target.name}")
        with open(target, "wb") as file:
            while piece := stream.read(1 << 24):
                file.write(piece)

    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as members:
            for member in members.infolist():
                if not member.is_dir() and _is_wanted(member.filename):
                    with members.open(member) as stream:
                        take(member.filename, stream)
        return
    with gzip.open(archive) as plain, tarfile.open(fileobj=plain, mode="r:") as tar:
        for entry in tar:
            if entry.isfile() and _is_wanted(entry.name):
                take(entry.name, tar.extractfile(entry))
        check_end(cast(BinaryIO, plain), tar)


def _is_wanted(name: str) -> bool:
    """Whether a member is a file of the model, and not what an operating system left beside it."""
    path = PurePosixPath(name)
    return not path.name.startswith(".") and "__MACOSX" not in path.parts


def existing(path: Path) -> Path:
    """The path itself. Raises InputError if there is no such file."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path


def only_file(folder: Path, suffix: str) -> Path:
    """The one file of a folder with this suffix. Raises InputError if there is none, or several."""
    found = sorted(folder.glob(f"*{suffix}"))
    if len(found) != 1:
        raise InputError(f"{folder}: expected one {suffix} file, found {len(found)}")
    return found[0]


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json. Raises InputError if it is missing or no mapping."""
    config = files.read_json(existing(folder / "config.json"))
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.json'}: is no mapping of keys")
    return config


def needed(config: dict[str, Any], key: str, path: Path, what: str) -> int:
    """A non-negative integer of a configuration. Raises InputError, naming `key`, for anything else.

    what: whose configuration it is, for the message.
    """
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{path}: {key} is {value!r}; {what} has a number there")
    return value


def read_state(folder: Path) -> State:
    """The tensors of a transformers folder, in their own dtypes: safetensors or pytorch_model.bin, sharded or not.

    Raises InputError if there are none, if a file is damaged, or if a pickle holds more than tensors.
    """
    for whole, read in (("model.safetensors", _safetensors), ("pytorch_model.bin", _pickled)):
        index = folder / f"{whole}.index.json"
        if (folder / whole).is_file():
            return read(folder / whole)
        if index.is_file():
            parts = sorted(set(files.read_json(index)["weight_map"].values()))
            if any(PurePosixPath(part).name != part for part in parts):
                raise InputError(f"{index}: names files outside of its folder")
            return {name: tensor for part in parts for name, tensor in read(existing(folder / part)).items()}
    raise InputError(f"{folder}: no such file: model.safetensors or pytorch_model.bin")


def _safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def _pickled(path: Path) -> State:
    return loaded(tensors(read_checkpoint(path), path), path)


def loaded(stored: dict[str, Stored], path: Path) -> State:
    """The tensors of a checkpoint, in their own dtypes. Raises InputError if one does not lie in the file."""
    try:
        return {name: tensor.tensor() for name, tensor in stored.items()}
    except (pickle.UnpicklingError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from None


def make_class(model_type: Any, keys: dict[str, Any], source: Path) -> PreTrainedModel:
    """A causal language model of transformers without weights. Raises InputError if there is none of that kind."""
    try:
        config = AutoConfig.for_model(model_type, **keys)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # transformers raises whatever its many configurations raise
        raise InputError(f"{source}: transformers cannot load this model: {error}") from None
    return model


def names_of_embeddings(model: PreTrainedModel) -> tuple[str, str]:
    """The names of the input embeddings and of the output projection, tied or not."""
    names = {id(module): f"{name}.weight" for name, module in model.named_modules()}
    return names[id(model.get_input_embeddings())], names[id(model.get_output_embeddings())]


def write_model(model: PreTrainedModel, state: State, output: Path, source: Path) -> None:
    """Write config.json and model.safetensors: the tensors `state`, in their own dtype, under the class of `model`.

    An output projection that is tied to the embeddings is not written. Raises InputError if a tensor is missing, one
    too many, or of another shape, and if a tied projection differs from the embeddings.
    """
    embeddings, projection = names_of_embeddings(model)
    tied = (projection,) if model.config.tie_word_embeddings else ()
    for name in tied:
        if {name, embeddings} <= state.keys() and not torch.equal(state[name], state[embeddings]):
            raise InputError(f"{source}: {name} differs from {embeddings}, to which the model ties it")
    kept = {name: tensor.contiguous() for name, tensor in state.items() if name not in tied}
    check_against_class(kept, lambda: model, source, model.config.model_type, tied)
    model.config.dtype = kept[embeddings].dtype
    model.config.architectures = [type(model).__name__]
    output.mkdir(parents=True, exist_ok=True)
    write_weights(kept, output)
    files.write_text(output / "config.json", model.config.to_json_string())
