"""Token rows on disk: their schema, writer and reader; the order they are trained in, and which rank takes which.

A row has a fixed number of positions. `input_ids` are tokens (uint16, or uint32 where the vocabulary asks);
`document` (int32) says which piece of the row a position belongs to, -1 for padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slamflow import commands, files
from slamflow.errors import InputError
from slamflow.vocabulary import PAD, Ints, Vocabulary

ARROW_FILE = "data-00000-of-00001.arrow"
PADDING_DOCUMENT = -1


def write_rows(
    batches: Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    count: int,
    context: int,
    dtype: np.dtype[Any],
    output: Path,
) -> str:
    """Write `count` batches of rows as a folder for `datasets.load_from_disk`, the same bytes for the same rows.

    `batches` are `input_ids` of `dtype` and `document` (int32), both [some rows, context]. Returns the SHA-256 of the
    Arrow file; its beginning is the dataset's fingerprint, which the library would otherwise draw at random.
    """
    # Takes a second to import, and reading rows does not need it.
    import datasets

    features = datasets.Features(
        input_ids=datasets.List(datasets.Value(dtype.name), length=context),
        document=datasets.List(datasets.Value("int32"), length=context),
    )
    schema = features.arrow_schema
    with (
        files.atomic_path(output / ARROW_FILE) as path,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as stream,
    ):
        for columns in commands.progress(batches, count, "row batches"):
            arrays = [
                pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), type=field.type)
                for column, field in zip(columns, schema, strict=True)
            ]
            stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    digest = files.sha256_file(output / ARROW_FILE)
    files.write_json(
        output / "dataset_info.json",
        {"citation": "", "description": "", "features": features.to_dict(), "homepage": "", "license": ""},
    )
    files.write_json(
        output / "state.json",
        {
            "_data_files": [{"filename": ARROW_FILE}],
            "_fingerprint": digest[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        },
    )
    return digest


@dataclass(frozen=True)
class Batch:
    """Some rows. `input_ids` and `document` are int64 [rows, context]; document is -1 where a row is padded."""

    input_ids: Ints
    document: Ints

    def positions(self) -> Ints:
        """Position of each token in its own document piece, counted from 0; int64 [rows, context]."""
        index = np.broadcast_to(np.arange(self.document.shape[1]), self.document.shape)
        begins = np.diff(self.document, axis=1, prepend=PADDING_DOCUMENT - 1) != 0
        return index - np.maximum.accumulate(np.where(begins, index, 0), axis=1)

    def targets(self, ignore: int = -100) -> Ints:
        """The token after each position, or `ignore` where the next one belongs to another piece or is padding.

        So the first position of a piece, and with it BOS, is never predicted. int64 [rows, context].
        """
        result = np.full_like(self.input_ids, ignore)
        same = (self.document[:, 1:] == self.document[:, :-1]) & (self.document[:, 1:] != PADDING_DOCUMENT)
        result[:, :-1][same] = self.input_ids[:, 1:][same]
        return result


class Rows:
    """Rows that stay on disk (memory-mapped) and are read as asked for."""

    def __init__(self, folder: Path) -> None:
        """Open the folder that pack_tokens wrote. Raises InputError if it is not one."""
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            raise InputError(f"{folder}: no manifest.json; give a folder of rows as pack_tokens writes it")
        self.folder = folder
        self.manifest: dict[str, Any] = files.read_json(manifest)
        self.digest = files.sha256_file(manifest)
        try:
            with pa.memory_map(str(folder / ARROW_FILE)) as mapped:
                table = pa.ipc.open_stream(mapped).read_all()
            columns = {name: table.column(name).chunks for name in ("input_ids", "document")}
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{folder}: cannot be read as rows ({error}); make it again with pack_tokens") from None
        lengths = [len(chunk) for chunk in columns["input_ids"]]
        if not sum(lengths):
            raise InputError(f"{folder}: has no rows")
        self._ends = np.cumsum(lengths)
        # Views of the memory-mapped file: [rows of the chunk, context].
        self._chunks = {
            name: [
                chunk.flatten().to_numpy(zero_copy_only=True).reshape(length, -1)
                for chunk, length in zip(chunks, lengths, strict=True)
            ]
            for name, chunks in columns.items()
        }
        self.context = int(self._chunks["input_ids"][0].shape[1])
        self.vocabulary = Vocabulary.read(self.manifest.get("vocabulary"), manifest)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, indices: Sequence[int] | Ints) -> Batch:
        """The rows at `indices`; -1 gives a row of padding only (so that all ranks can have equally many)."""
        input_ids = np.full((len(indices), self.context), PAD, dtype=np.int64)
        document = np.full((len(indices), self.context), PADDING_DOCUMENT, dtype=np.int64)
        for row, index in enumerate(indices):
            if index >= 0:
                chunk = int(np.searchsorted(self._ends, index, side="right"))
                within = int(index) - (int(self._ends[chunk - 1]) if chunk else 0)
                input_ids[row] = self._chunks["input_ids"][chunk][within]
                document[row] = self._chunks["document"][chunk][within]
        return Batch(input_ids, document)


class Order:
    """Which of `count` items each step takes: a seeded permutation per epoch, epochs end to end.

    It is computed from (seed, epoch), so the number of the step is all that a resumed run has to know.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count, self.batch, self.seed = count, batch, seed
        self._cached: tuple[int, Ints] = (-1, np.empty(0, dtype=np.int64))

    def _epoch(self, epoch: int) -> Ints:
        if self._cached[0] != epoch:
            self._cached = (epoch, np.random.default_rng([self.seed, epoch]).permutation(self.count))
        return self._cached[1]

    def step(self, step: int) -> Ints:
        """Indices of the items of step `step` (from 0); int64 [batch]."""
        place = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs = place // self.count
        return np.concatenate(
            [self._epoch(int(epoch))[place[epochs == epoch] % self.count] for epoch in np.unique(epochs)]
        )


def share(indices: Ints, rank: int, ranks: int, at_once: int) -> Iterator[Ints]:
    """Yield one rank's micro-batches of a batch: at most `at_once` indices each, equally many on each rank.

    Where the batch does not divide, -1 stands for nothing.
    """
    each = -(-len(indices) // ranks)
    padded = np.concatenate([indices, np.full(each * ranks - len(indices), -1)])
    own = padded[rank::ranks]
    for first in range(0, each, at_once):
        yield own[first : first + at_once]


def even_parts(count: int, at_once: int) -> int:
    """The size of equal parts of `count` items, as few as `at_once` items in a part allow: so little is padding."""
    return -(-count // -(-count // at_once))


def filled_up(part: Ints, size: int) -> Ints:
    """A micro-batch of `size` items; -1 stands for nothing."""
    return np.concatenate([part, np.full(size - len(part), -1)])
