"""Checkpoints that torch.save wrote, without running anything that their pickles ask for.

torch's own weights-only loader knows tensors and plain containers. Checkpoints of fairseq also hold settings as
argparse.Namespace, omegaconf's nodes, fairseq's own objects and numpy's numbers: here all of these become inert data.
A tensor stays in the file until it is asked for, so that an optimizer's state costs nothing.
"""

from __future__ import annotations

import io
import math
import mmap
import pickle
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import torch

from slamflow.assets.restricted_pickle import Array, Inert, NamedClass, Reader, allowed_names
from slamflow.errors import InputError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
INERT_PACKAGES = ("argparse", "omegaconf", "fairseq", "pathlib", "enum")
"""Objects of these become data: they are never imported, and nothing of theirs is called."""
PLAIN_TYPES = (
    *("int", "float", "bool", "str", "bytes", "list", "tuple", "dict", "set", "frozenset", "complex", "object"),
    *("long", "unicode"),  # of Python 2, as protocol 2 names them
)
MAX_MEMBERS = 200_000


class Ordered(Inert, dict[Any, Any]):
    """Stands for OrderedDict and defaultdict."""

    def __init__(self, *arguments: Any) -> None:
        pairs = arguments[0] if arguments and isinstance(arguments[0], list | tuple | dict) else ()
        dict.__init__(self, pairs)


class StorageKind:
    """Names a type of storage; it cannot be called."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


@dataclass
class Storage:
    """Numbers of one type in a row; `data` is their place in the file, once it is known."""

    dtype: torch.dtype
    count: int
    data: memoryview | None = None


@dataclass(frozen=True)
class Stored:
    """A tensor that is still in its file."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self) -> torch.Tensor:
        """Its own copy of the numbers. Raises UnpicklingError if they do not lie in the file."""
        storage = self.storage
        last = sum((size - 1) * step for size, step in zip(self.size, self.stride, strict=True))
        empty = math.prod(self.size) == 0
        if storage.data is None or (not empty and self.offset + last >= storage.count):
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        if empty:
            return torch.empty(self.size, dtype=storage.dtype)
        # A view with overlaps or steps of 0 could be far larger than the file.
        if math.prod(self.size) > storage.count:
            raise pickle.UnpicklingError("a tensor is larger than its storage")
        numbers = torch.frombuffer(bytearray(storage.data), dtype=storage.dtype)
        return numbers.as_strided(self.size, self.stride, self.offset).clone()


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Stored:
    """Stands for torch._utils._rebuild_tensor and _rebuild_tensor_v2."""
    lists = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
    numbers = (offset, *size, *stride) if lists else (None,)
    if not isinstance(storage, Storage) or not all(isinstance(x, int) and x >= 0 for x in numbers):
        raise pickle.UnpicklingError("unexpected description of a tensor")
    return Stored(storage, offset, size, stride)


def rebuild_parameter(data: Any, *_: Any) -> Any:
    """Stands for torch._utils._rebuild_parameter."""
    return data


def size_tuple(numbers: Any = ()) -> tuple[Any, ...]:
    """Stands for torch.Size."""
    if not isinstance(numbers, list | tuple):
        raise pickle.UnpicklingError("unexpected description of a size")
    return tuple(numbers)


def inert_set(values: Any = ()) -> list[Any]:
    """Stands for set, whose order carries no meaning."""
    return list(values) if isinstance(values, list | tuple) else []


def _allowed() -> dict[tuple[str, str], Any]:
    table = allowed_names()
    for builtins in ("builtins", "__builtin__"):
        for name in PLAIN_TYPES:
            table[builtins, name] = NamedClass
        table[builtins, "set"] = inert_set
    table["typing", "Any"] = NamedClass
    table["collections", "OrderedDict"] = Ordered
    table["collections", "defaultdict"] = Ordered
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
        table["torch._utils", name] = rebuild_tensor
    table["torch._utils", "_rebuild_parameter"] = rebuild_parameter
    table["torch", "Size"] = size_tuple
    table["torch", "device"] = Inert
    for name, dtype in DTYPES.items():
        table["torch", name] = table["torch.storage", name] = StorageKind(dtype)
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"):
        table["torch", name] = NamedClass
    return table


class CheckpointReader(Reader):
    """The reader of pickles with torch's storages, which are kept by their key."""

    allowed: ClassVar = _allowed()

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in INERT_PACKAGES and (module, name) not in self.allowed:
            return Inert
        return super().find_class(module, name)

    def persistent_load(self, reference: Any) -> Storage:
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise pickle.UnpicklingError("an unexpected persistent id")
        _, kind, key, _, count, *view = reference
        if view not in ([], [None]):
            raise pickle.UnpicklingError("a view of a storage")
        if not isinstance(kind, StorageKind) or not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError("unexpected description of a storage")
        return self.storages.setdefault(key, Storage(kind.dtype, count))


def read_checkpoint(path: Path) -> Any:
    """What torch.save wrote, in the zip or the legacy format: containers, numbers, texts, `Stored` tensors and `Inert`.

    Raises InputError for anything else, and without having executed any of it. The file stays open as long as one of
    its tensors is held.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with open(path, "rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _read_zip(content) if content[:4] == b"PK\x03\x04" else _read_legacy(content)
    except Exception as error:  # a damaged file can fail anywhere in the readers of the standard library
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: refused, not a plain checkpoint of torch ({reason})") from None


def _read_zip(content: mmap.mmap) -> Any:
    with zipfile.ZipFile(cast(IO[bytes], content)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(members) > MAX_MEMBERS:
            raise pickle.UnpicklingError("too many members")
        [main] = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        prefix = main.removesuffix("data.pkl")
        order = members.get(prefix + "byteorder")
        if order is not None and bytes(_stored(content, order)) != b"little":
            raise pickle.UnpicklingError("its bytes are in another order")
        reader = CheckpointReader(io.BytesIO(bytes(_stored(content, members[main]))))
        value = reader.load()
        for key, storage in reader.storages.items():
            _fill(storage, _stored(content, members[f"{prefix}data/{key}"]))
    return value


def _stored(content: mmap.mmap, member: zipfile.ZipInfo) -> memoryview:
    """The bytes of an uncompressed member, where they lie in the file."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise pickle.UnpicklingError(f"{member.filename} is compressed, which torch does not do")
    start = member.header_offset
    if content[start : start + 4] != b"PK\x03\x04":
        raise pickle.UnpicklingError("damaged zip archive")
    name_length, extra_length = struct.unpack("<HH", content[start + 26 : start + 30])
    start += 30 + name_length + extra_length
    if start + member.file_size > len(content):
        raise pickle.UnpicklingError("damaged zip archive")
    return memoryview(content)[start : start + member.file_size]


def _read_legacy(content: mmap.mmap) -> Any:
    if CheckpointReader(content).load() != LEGACY_MAGIC or CheckpointReader(content).load() != LEGACY_PROTOCOL:
        raise pickle.UnpicklingError("unknown format")
    machine = CheckpointReader(content).load()
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise pickle.UnpicklingError("its bytes are in another order")
    reader = CheckpointReader(content)
    value = reader.load()
    keys = CheckpointReader(content).load()
    if not isinstance(keys, list) or set(keys) != set(reader.storages):
        raise pickle.UnpicklingError("its list of storages is damaged")
    view = memoryview(content)
    for key in keys:
        storage = reader.storages[key]
        [count] = struct.unpack("<q", content.read(8))
        size = storage.dtype.itemsize * storage.count
        if count != storage.count:
            raise pickle.UnpicklingError("a storage has another size than it claims")
        start = content.tell()
        _fill(storage, view[start : start + size])
        content.seek(start + size)
    return value


def _fill(storage: Storage, data: memoryview) -> None:
    if len(data) != storage.count * storage.dtype.itemsize:
        raise pickle.UnpicklingError("a storage has another size than it claims")
    storage.data = data


def tensors(state: Any, path: Path) -> dict[str, Stored]:
    """The tensors of a state dict by name. Raises InputError if it is not one."""
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{path}: has no state dict where one is expected")
    return {name: value for name, value in state.items() if isinstance(value, Stored)}


def load(stored: Stored, path: Path) -> torch.Tensor:
    """A tensor as float32. Raises InputError if it does not lie in the file."""
    try:
        return stored.tensor().float()
    except (pickle.UnpicklingError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); fetch it again") from None


def plain(value: Any, depth: int = 0) -> Any:
    """Settings as dicts, lists, texts and numbers: of a Namespace its attributes, of omegaconf's nodes their values.

    Enumerations become what they were made of; every other object becomes None.
    """
    if depth > 50:
        raise InputError("settings are nested too deeply")
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, dict):
        return {str(plain(key, depth + 1)): plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, depth + 1) for part in value]
    if isinstance(value, Inert) and not isinstance(value, Array):
        for key in ("_content", "_val"):
            if key in value.state:
                return plain(value.state[key], depth + 1)
        if value.state:
            return plain({key: part for key, part in value.state.items() if key != "_parent"}, depth + 1)
        if len(value.arguments) == 1:
            return plain(value.arguments[0], depth + 1)
    return None


def settings_of(checkpoint: Any, path: Path) -> Iterator[dict[str, Any]]:
    """The dicts in which a fairseq checkpoint tells about model and task, the most specific first."""
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path}: not a checkpoint of fairseq")
    told = plain(checkpoint.get("cfg"))
    if isinstance(told, dict):
        yield from (told[part] for part in ("model", "task") if isinstance(told.get(part), dict))
    arguments = plain(checkpoint.get("args"))
    if isinstance(arguments, dict):
        yield arguments
