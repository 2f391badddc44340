"""K-means centroids out of a scikit-learn or joblib pickle, without running anything that the pickle asks for.

A pickle is a program: it may name any callable and have it called. Here every name is looked up in a short table of
inert stand-ins of our own, and a name that is not in the table ends the reading. The stand-ins hold bytes and
attributes; no code of numpy, joblib or scikit-learn is reached. Joblib writes an array's bytes into the stream right
behind the pickled description of the array, so the reader takes them from there as soon as the description is whole.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from slamflow.errors import InputError

MAX_DIMENSIONS = 8


class Inert:
    """Stands for an object of a library: takes any arguments, keeps its attributes in `state`, does nothing."""

    arguments: tuple[Any, ...] = ()
    state: dict[str, Any]

    def __new__(cls, *arguments: Any) -> Self:  # a pickle may make an object without calling __init__
        made = super().__new__(cls)
        made.arguments, made.state = arguments, {}
        return made

    def __init__(self, *arguments: Any) -> None:
        """Take any arguments."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict):
            state = state[0]
        self.state = state if isinstance(state, dict) else {}


class Estimator(Inert):
    """Stands for a KMeans or MiniBatchKMeans."""


class Dtype(Inert):
    """Stands for numpy.dtype: plain numbers only."""

    order = "<"

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("unexpected description of a number type")
        self.order = state[1]

    def plain(self) -> np.dtype:
        """The number type. Raises UnpicklingError for anything but integers, floats and booleans."""
        code = self.arguments[0] if self.arguments else None
        if not isinstance(code, str) or code[:1] not in "fiub" or not code[1:].isdigit():
            raise pickle.UnpicklingError(f"arrays of {code!r} are not read")
        return np.dtype(self.order + code)


class Array(Inert):
    """Stands for numpy.ndarray in the making; `value` is the array once it is known."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("unexpected description of an array")
        _, shape, dtype, fortran, data = state
        if isinstance(dtype, Dtype) and isinstance(data, bytes):  # others, as lists of objects, stay unknown
            self.value = as_array(shape, dtype, "F" if fortran else "C", data)


class ArrayWrapper(Inert):
    """Stands for joblib's NumpyArrayWrapper, which an array's bytes follow."""

    value: np.ndarray | None = None

    def read(self, stream: io.BufferedIOBase) -> None:
        """Take the array's bytes from the stream."""
        dtype, shape = self.state.get("dtype"), self.state.get("shape")
        if not isinstance(dtype, Dtype):
            raise pickle.UnpicklingError("array without a number type")
        if self.state.get("numpy_array_alignment_bytes") is not None:
            stream.read(int.from_bytes(stream.read(1), "little"))
        size = element_count(shape) * dtype.plain().itemsize
        self.value = as_array(shape, dtype, self.state.get("order", "C"), stream.read(size))


class NamedClass:
    """A class that a pickle mentions as an argument; it cannot be called."""


def reconstruct_array(*_: Any) -> Array:
    """Stands for numpy's _reconstruct: an array whose contents follow by __setstate__."""
    return Array()


def array_from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    """Stands for numpy's _frombuffer, by which protocol 5 makes an array in one go."""
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, Dtype):
        raise pickle.UnpicklingError("unexpected description of an array")
    array = Array()
    array.value = as_array(shape, dtype, order, bytes(data))
    return array


def reconstruct_object(kind: Any, *_: Any) -> Inert:
    """Stands for copyreg._reconstructor, the way of old protocols to make an object."""
    if not (isinstance(kind, type) and issubclass(kind, Inert)):
        raise pickle.UnpicklingError("unexpected kind of object")
    return kind()


def latin1_bytes(text: Any, encoding: Any) -> bytes:
    """Stands for _codecs.encode, by which protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("unexpected encoding of bytes")
    return text.encode("latin1")


def element_count(shape: Any) -> int:
    """Product of a shape. Raises UnpicklingError unless it is a short tuple of sizes."""
    sizes = isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS
    if not sizes or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise pickle.UnpicklingError(f"unexpected shape {shape!r}")
    return math.prod(shape)


def as_array(shape: Any, dtype: Dtype, order: Any, data: bytes) -> np.ndarray:
    """An array from its raw bytes. Raises UnpicklingError if their number is not what the shape needs."""
    kind = dtype.plain()
    if len(data) != element_count(shape) * kind.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {shape} has {len(data)} bytes")
    return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")


def allowed_names() -> dict[tuple[str, str], Any]:
    """The names that a pickle may use, and what stands for each."""
    table: dict[tuple[str, str], Any] = {
        ("_codecs", "encode"): latin1_bytes,
        ("copyreg", "_reconstructor"): reconstruct_object,
        ("copy_reg", "_reconstructor"): reconstruct_object,
        ("builtins", "object"): NamedClass,
        ("__builtin__", "object"): NamedClass,
        ("numpy", "dtype"): Dtype,
        ("numpy", "ndarray"): NamedClass,
        ("numpy.random", "__RandomState_ctor"): Inert,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = reconstruct_array
        table[f"{core}.multiarray", "scalar"] = Inert
        table[f"{core}.numeric", "_frombuffer"] = array_from_buffer
    for name in ("__randomstate_ctor", "__bit_generator_ctor"):
        table["numpy.random._pickle", name] = Inert
    table["numpy.random._mt19937", "MT19937"] = NamedClass
    for module in ("sklearn.cluster._kmeans", "sklearn.cluster.k_means_"):
        for name in ("KMeans", "MiniBatchKMeans"):
            table[module, name] = Estimator
    for module in ("joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle"):
        table[module, "NumpyArrayWrapper"] = ArrayWrapper
    return table


class Reader(pickle._Unpickler):  # the Python one, whose opcodes can be overridden
    """Reads a pickle with the table of stand-ins, and joblib's arrays from the stream behind their description."""

    stack: list[Any]
    allowed: ClassVar = allowed_names()
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: io.BufferedIOBase) -> None:
        super().__init__(stream)
        self.stream = stream

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.allowed[module, name]

    def load_build(self) -> None:
        # Only stand-ins may take a state: the standard opcode would write attributes into anything.
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Inert):
            raise pickle.UnpicklingError("a state for something that has none")
        target.__setstate__(state)
        if isinstance(target, ArrayWrapper):
            target.read(self.stream)

    dispatch[pickle.BUILD[0]] = load_build


def read_centroids(path: Path) -> np.ndarray:
    """Centroids [clusters, dimension], float32, of a pickled KMeans or MiniBatchKMeans.

    Reads what `pickle.dump` and an uncompressed `joblib.dump` write. Raises InputError for everything else, and
    without having executed any of it.
    """
    # In memory: a length that the pickle claims can then never ask for more than the file has.
    stream = io.BytesIO(path.read_bytes())
    try:
        estimator = Reader(stream).load()
    except InputError:
        raise
    except Exception as error:  # a damaged stream can fail anywhere in the standard library's reader
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{path}: refused, not a plain k-means pickle ({reason}); export its cluster_centers_ as .npy"
        ) from None
    if not isinstance(estimator, Estimator):
        raise InputError(f"{path}: refused, not a pickled KMeans or MiniBatchKMeans")
    centers = estimator.state.get("cluster_centers_")
    value = centers.value if isinstance(centers, Array | ArrayWrapper) else None
    if value is None:
        raise InputError(f"{path}: the pickled k-means has no cluster_centers_; was it fitted?")
    return value.astype(np.float32)
