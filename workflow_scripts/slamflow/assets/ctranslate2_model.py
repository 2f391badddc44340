"""Reader of CTranslate2's model.bin, format 6.

The file, little-endian throughout: u32 format; string name of the specification; u32 its revision; u32 count; then for
each variable a string name, u8 rank, u32 per dimension, u8 element type, u32 bytes, the data; then u32 count of
aliases, each a string alias and the string it stands for. A string is a u16 length, which counts the closing zero byte,
and UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch

from slamflow.errors import InputError

FORMAT = 6
DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)

Variable = TypeVar("Variable")


@dataclass(frozen=True)
class Model:
    """What a model.bin holds."""

    specification: str
    revision: int
    variables: dict[str, torch.Tensor]
    """By name, in the stored element types; aliases are there under their own name, as the same tensor."""


class Reader:
    """Reads pieces of a file; every error names the file and the place."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self.stream = path, stream
        self.size = path.stat().st_size

    def bytes(self, count: int) -> bytes:
        place = self.stream.tell()
        if place + count > self.size:
            raise InputError(
                f"{self.path}: cut off: {count} bytes wanted at byte {place} of {self.size}; fetch it again"
            )
        return self.stream.read(count)

    def unpack(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{layout}", self.bytes(struct.calcsize(f"<{layout}")))

    def string(self) -> str:
        (length,) = self.unpack("H")
        try:
            return self.bytes(length).rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise InputError(
                f"{self.path}: no text at byte {self.stream.tell() - length}: the file is damaged"
            ) from None


def read_model(path: Path) -> Model:
    """Read all variables of a model.bin. Raises InputError for another format, a cut or a damaged file."""
    return Model(*_read(path, read_tensor))


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all variables of a model.bin by name, aliases too, without reading the data.

    Raises InputError as `read_model` does.
    """
    return _read(path, skip_tensor)[2]


def _read(path: Path, read: Callable[[Reader, str], Variable]) -> tuple[str, int, dict[str, Variable]]:
    """Specification, revision, and what `read` makes of each variable, by name and by alias."""
    with open(path, "rb") as stream:
        reader = Reader(path, stream)
        (version,) = reader.unpack("I")
        if version != FORMAT:
            raise InputError(f"{path}: format {version}, and only CTranslate2's binary format {FORMAT} is read")
        specification = reader.string()
        revision, count = reader.unpack("II")
        variables: dict[str, Variable] = {}
        for _ in range(count):
            name = reader.string()
            variables[name] = read(reader, name)
        (count,) = reader.unpack("I")
        for _ in range(count):
            alias, name = reader.string(), reader.string()
            if name not in variables:
                raise InputError(f"{path}: {alias} stands for {name}, which is not there: the file is damaged")
            variables[alias] = variables[name]
        if stream.read(1):
            raise InputError(f"{path}: bytes after the end at byte {stream.tell() - 1}: the file is damaged")
    return specification, revision, variables


def read_tensor(reader: Reader, name: str) -> torch.Tensor:
    """One variable after its name: shape, element type and data."""
    (rank,) = reader.unpack("B")
    shape = reader.unpack(f"{rank}I")
    kind, length = reader.unpack("BI")
    if kind >= len(DTYPES):
        raise InputError(f"{reader.path}: {name} has the unknown element type {kind}")
    dtype = DTYPES[kind]
    count = 1
    for dimension in shape:
        count *= dimension
    if count * dtype.itemsize != length:
        raise InputError(f"{reader.path}: {name} has {length} bytes, which is not {list(shape)} of {dtype}")
    return torch.frombuffer(bytearray(reader.bytes(length)), dtype=dtype).reshape(shape)


def skip_tensor(reader: Reader, _name: str) -> tuple[int, ...]:
    """The shape of one variable, whose data are passed over."""
    (rank,) = reader.unpack("B")
    shape = reader.unpack(f"{rank}I")
    _, length = reader.unpack("BI")
    reader.stream.seek(length, 1)
    return shape
