"""Documents into rows of one fixed length: the tokens, and the bin packing."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from slamflow import commands, files
from slamflow.errors import InputError
from slamflow.recipe.datasets import PackTokens
from slamflow.sharding import stable_hash
from slamflow.shards.parquet import open_parquet
from slamflow.shards.rows import PADDING_DOCUMENT, write_rows
from slamflow.vocabulary import PAD, Ints, Vocabulary

DOCUMENTS_AT_ONCE = 4096
POSITIONS_AT_ONCE = 1 << 20
PIECES_AT_ONCE = 1 << 15
STRETCH_POSITIONS = 1 << 25
STRETCHES = 250
"""Rows are filled in stretches, whose tokens are in memory together: of so many positions or more, so many at most."""

Tokens = npt.NDArray[Any]
"""Of a vocabulary's dtype."""
Counts = npt.NDArray[np.int32]
"""What there are as many of as documents, tens of millions, and what fits: lengths, and numbers of rows."""


@dataclass(frozen=True)
class Block:
    """Some documents of one file, end to end, before BOS and EOS are added."""

    file: Path
    ids: list[str]
    values: npt.NDArray[Any]
    lengths: Ints


@dataclass(frozen=True)
class Documents:
    """The documents of all files, whose tokens stand end to end in one stream."""

    lengths: Counts
    """Tokens of each, BOS and EOS included."""
    draws: Ints
    """Hashes of their ids, by which a mixture chooses; none without weights."""
    origins: npt.NDArray[np.uint16]
    """Which of the weighted corpora each is of; none without weights."""
    empty: int
    """How many more had no tokens, and are left out."""


@dataclass(frozen=True)
class Pieces:
    """What is put into rows: whole documents, and the parts of those that are longer than a row."""

    starts: Ints
    """First position of each piece in the stream of all tokens."""
    lengths: Counts
    """Tokens of each piece, from 1 to the row's length."""


def pieces_in_rows(lengths: Counts, starts: Ints, settings: PackTokens) -> tuple[Pieces, Counts]:
    """What is put into rows, and the row of each piece, as `settings.documents` says.

    `lengths` and `starts` are the documents' in the stream of all tokens, BOS and EOS included.
    """
    random = np.random.default_rng(settings.seed)
    if settings.documents == "joined":
        order = random.permutation(lengths.size)
        # BOS and EOS are one token: it stands between two documents once.
        return join(lengths[order] - 1, starts[order] + 1, settings.context)
    pieces = cut(lengths, starts, settings.context)
    if settings.documents == "padded":
        return pieces, random.permutation(pieces.lengths.size).astype(np.int32)
    row_of = best_fit_decreasing(pieces.lengths, settings.context)
    return pieces, random.permutation(int(row_of.max()) + 1).astype(np.int32)[row_of]


def join(lengths: Counts, starts: Ints, context: int) -> tuple[Pieces, Counts]:
    """The documents end to end, cut into rows of `context` positions wherever one is full.

    Returns the pieces in their order, of which each lies in one document and one row, and the row of each.
    """
    found = []
    place = 0  # of the next document, in the rows' positions
    for some in slices(lengths.size):
        ends = place + np.cumsum(lengths[some], dtype=np.int64)
        begins = ends - lengths[some]
        place = int(ends[-1])
        first = begins // context
        count = (ends - 1) // context - first + 1
        document = np.repeat(np.arange(ends.size), count)
        row = first[document] + np.arange(document.size) - np.repeat(np.cumsum(count) - count, count)
        begin = np.maximum(begins[document], row * context)
        end = np.minimum(ends[document], (row + 1) * context)
        piece_starts = starts[some][document] + begin - begins[document]
        found.append((piece_starts, (end - begin).astype(np.int32), row.astype(np.int32)))
    all_starts, all_lengths, rows = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return Pieces(all_starts, all_lengths), rows


def slices(size: int) -> Iterator[slice]:
    """A range in parts, so that what is computed on the way to a small result is small too."""
    for first in range(0, size, PIECES_AT_ONCE):
        yield slice(first, min(size, first + PIECES_AT_ONCE))


def fingerprint_name(path: Path) -> str:
    """The end of a path that names a shard (corpus/split/shard), the same on every machine."""
    return "/".join(path.parts[-3:])


def read_units(path: Path) -> Iterator[Block]:
    """Yield the documents of a unit shard. Raises InputError if it is not one."""
    columns = ["id", "units"]
    with open_parquet(path, columns, "unit shard") as shard:
        for batch in shard.iter_batches(batch_size=DOCUMENTS_AT_ONCE, columns=columns):
            ids = batch.column("id").to_pylist()
            units = batch.column("units")
            if units.null_count:
                raise InputError(f"{path}: {ids[units.is_null().index(True).as_py()]} has no units")
            lengths = units.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
            yield Block(path, ids, units.flatten().to_numpy(zero_copy_only=False), lengths)


def read_text(path: Path, encode: Callable[[list[str]], list[Ints]]) -> Iterator[Block]:
    """Yield the documents of a JSONL file as ids of the text tokenizer. Raises InputError without id or text."""
    records = files.read_jsonl(path)
    for number, record in enumerate(records, start=1):
        for key in ("id", "text"):
            if not isinstance(record.get(key), str):
                raise InputError(f"{path}, record {number}: needs a string {key!r}")
    for first in range(0, len(records), DOCUMENTS_AT_ONCE):
        part = records[first : first + DOCUMENTS_AT_ONCE]
        texts = encode([record["text"] for record in part])
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        yield Block(path, [record["id"] for record in part], np.concatenate(texts), lengths)


def reader(vocabulary: Vocabulary) -> Callable[[Path], Iterator[Block]]:
    """What reads the documents of a file: stories where the vocabulary has text, else a unit shard."""
    if vocabulary.is_mixed:
        raise InputError("vocabulary: rows hold units or text; give either units or text")
    if vocabulary.text is None:
        return read_units
    encode = vocabulary.text_encoder()
    return lambda path: read_text(path, encode)


def to_tokens(block: Block, vocabulary: Vocabulary) -> tuple[Tokens, Ints]:
    """Tokens of a block, each document between BOS and EOS, and the documents' lengths with these two.

    Documents without any value are left out. Raises InputError for a unit outside the vocabulary.
    """
    values = block.values.astype(np.int64)
    if vocabulary.text is not None:
        return vocabulary.documents(vocabulary.of_text_ids(values), block.lengths)
    outside = np.flatnonzero((values < 0) | (values >= vocabulary.units))
    if outside.size:
        document = int(np.searchsorted(np.cumsum(block.lengths), outside[0], side="right"))
        raise InputError(
            f"{block.file}: {block.ids[document]} has the unit {values[outside[0]]}, but a vocabulary of "
            f"{vocabulary.units} units ends at {vocabulary.units - 1}; were these units made with another codebook?"
        )
    return vocabulary.documents(vocabulary.of_units(values), block.lengths)


def origin(path: Path, weights: dict[str, float]) -> int:
    """Which of the weighted corpus/split a file is of, counted in their order."""
    name = "/".join(path.parts[-3:-1])
    if name not in weights:
        raise InputError(f"{path}: the weights have no {name}; they have {', '.join(weights)}")
    return list(weights).index(name)


def mix(
    lengths: Counts, origins: npt.NDArray[np.uint16], draws: Ints, weights: dict[str, float]
) -> tuple[Ints, dict[str, Any]]:
    """Choose documents so that the tokens of each corpus are in proportion to its weight; none is taken twice.

    Of the corpus that is scarcest for its weight all are taken; of the others, in the order of `draws`, as many as do
    not exceed their share, so each falls short of it by less than its longest document. Parameters: `lengths` in
    tokens, `origins` the number of the document's corpus in the order of `weights`, `draws` a hash of its id; integers
    [documents]. Returns the indices of the chosen documents, sorted, and what the manifest says of each corpus.
    Raises InputError for a corpus without documents.
    """
    names = list(weights)
    present = np.bincount(origins, weights=lengths, minlength=len(names))
    if not present.all():
        raise InputError(f"{names[int(np.argmin(present))]} has no documents, so the weights cannot be met")
    total = float(np.min(present / np.array(list(weights.values()))))
    chosen = []
    mixture = {}
    for number, name in enumerate(names):
        own = np.flatnonzero(origins == number)
        own = own[np.argsort(draws[own], kind="stable")]
        wanted = total * weights[name]
        taken = own[np.cumsum(lengths[own], dtype=np.int64) <= wanted * (1 + 1e-9)]
        chosen.append(taken)
        mixture[name] = {"tokens": int(lengths[taken].sum()), "of": int(present[number]), "documents": int(taken.size)}
    return np.sort(np.concatenate(chosen)), mixture


def cut(lengths: Counts, starts: Ints, context: int) -> Pieces:
    """Cut documents longer than `context` into full rows and a rest; leave the others whole.

    BOS stays with the first piece only and EOS with the last only. A rest of one token (EOS alone) is kept, so that
    no token is lost, though nothing can be learned from it.
    """
    if int(lengths.max()) <= context:
        return Pieces(starts, lengths)
    piece_starts, piece_lengths = [], []
    for some in slices(lengths.size):
        count = -(-lengths[some] // context)
        document = np.repeat(np.arange(count.size), count)
        offset = (np.arange(document.size) - np.repeat(np.cumsum(count) - count, count)) * context
        piece_starts.append(starts[some][document] + offset)
        piece_lengths.append(np.minimum(context, lengths[some][document] - offset).astype(np.int32))
    return Pieces(np.concatenate(piece_starts), np.concatenate(piece_lengths))


def best_fit_decreasing(lengths: Counts, capacity: int) -> Counts:
    """Row index of each piece, by best-fit decreasing: longest first, each into the fullest row that has room.

    Best-fit packing for language models: Ding et al., "Fewer Truncations Improve Language Modeling" (2024). Pieces
    of one length are interchangeable and so are rows with the same room left, so both are handled in bulk (as in the
    histogram packing of Krell et al. 2021): the work grows with the number of different lengths and rooms, not with
    that of the pieces. A bit set of the rooms that occur gives the smallest one that suffices.

    `lengths` lie in [1, capacity]. Rows are numbered from 0 without gaps.
    """
    sizes, counts = np.unique(lengths, return_counts=True)
    # By small keys: numpy sorts 16 bits in linear time.
    keys = (capacity - lengths).astype(np.min_scalar_type(capacity))
    order = np.argsort(keys, kind="stable").astype(np.uint32 if lengths.size < 1 << 32 else np.int64)
    del keys
    row_of = np.empty(lengths.size, dtype=np.int32)
    with_room: dict[int, list[Counts]] = {}
    rooms = 0  # bit r is set if rows with room r exist
    rows_used = position = 0

    def keep(rows: Counts, room: int) -> None:
        nonlocal rooms
        if room and rows.size:
            with_room.setdefault(room, []).append(rows)
            rooms |= 1 << room

    for length, count in zip(sizes[::-1].tolist(), counts[::-1].tolist(), strict=True):
        left = count
        while left:
            if enough := rooms >> length:
                room = length + (enough & -enough).bit_length() - 1
                rows = with_room[room].pop()
                if not with_room[room]:
                    rooms ^= 1 << room
            else:
                room = capacity
                rows = np.arange(rows_used, rows_used - (-left // (capacity // length)), dtype=np.int32)
                rows_used += rows.size
            # The row that was best for one piece stays the best for the next of the same length while it has room.
            fit = room // length
            filled = min(left // fit, rows.size)
            taken = filled * fit
            row_of[order[position : position + taken]] = np.repeat(rows[:filled], fit)
            keep(rows[:filled], room - fit * length)
            rows = rows[filled:]
            if 0 < left - taken < fit and rows.size:
                rest = left - taken
                row_of[order[position + taken : position + left]] = rows[0]
                keep(rows[:1], room - rest * length)
                rows, taken = rows[1:], left
            keep(rows, room)
            left -= taken
            position += taken
    return row_of


def rows_at_once(context: int) -> int:
    """How many rows are written together."""
    return max(1, POSITIONS_AT_ONCE // context)


def fill_rows(
    stream: IO[bytes], dtype: np.dtype[Any], pieces: Pieces, row_of: Counts, context: int, is_joined: bool, folder: Path
) -> Iterator[tuple[Tokens, npt.NDArray[np.int32]]]:
    """Yield `input_ids` (of `dtype`) and `document` (int32), both [some rows, context], in the order of the rows.

    Within a row the pieces follow the order of the input; with `is_joined` they count as one document. Rows lie in an
    order of their own, so their tokens are all over `stream`: where there are more than fit into memory, they are first
    dealt out to one file for each stretch of rows, below `folder`, which reads and writes from front to back only.
    """
    at_once = rows_at_once(context)
    rows = int(row_of.max()) + 1
    in_stretch = -(-max(STRETCH_POSITIONS // context, rows // STRETCHES) // at_once) * at_once
    if rows <= in_stretch:
        everything = np.asarray(np.memmap(stream, dtype=dtype, mode="r"))
        yield from fill_stretch(everything, pieces.starts, pieces.lengths, row_of, rows, context, is_joined)
        return
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(-(-rows // in_stretch))]
        deal_out(stream, dtype, pieces, row_of // in_stretch, files)
        stream.truncate(0)
        for number, file in enumerate(files):
            first = number * in_stretch
            own = np.flatnonzero((row_of >= first) & (row_of < first + in_stretch))
            lengths = pieces.lengths[own]
            # In the file they follow the stream, where joined documents have another order.
            order = np.argsort(pieces.starts[own], kind="stable")
            starts = np.empty(own.size, dtype=np.int64)
            starts[order] = np.cumsum(lengths[order], dtype=np.int64) - lengths[order]
            file.seek(0)
            tokens = np.fromfile(file, dtype=dtype)
            file.truncate(0)
            count = min(in_stretch, rows - first)
            yield from fill_stretch(tokens, starts, lengths, row_of[own] - first, count, context, is_joined)


def deal_out(
    stream: IO[bytes], dtype: np.dtype[Any], pieces: Pieces, stretch_of: Counts, files: Sequence[IO[bytes]]
) -> None:
    """Append the tokens of each piece, in their order in the stream, to the file of the stretch that its row is in."""
    is_sorted = bool((np.diff(pieces.starts) > 0).all())
    by_start = None if is_sorted else np.argsort(pieces.starts, kind="stable")
    for some in commands.progress(slices(stretch_of.size), -(-stretch_of.size // PIECES_AT_ONCE), "parts dealt out"):
        index: Any = some if by_start is None else by_start[some]
        starts, lengths, stretch = pieces.starts[index], pieces.lengths[index], stretch_of[index]
        first, size = int(starts[0]), int(starts[-1] + lengths[-1] - starts[0])
        # Of this part alone: pages that are mapped count as memory.
        mapped = np.memmap(stream, dtype=dtype, mode="r", offset=first * dtype.itemsize, shape=(size,))
        tokens = np.asarray(mapped)
        order = np.argsort(stretch, kind="stable")
        bounds = np.searchsorted(stretch[order], np.arange(len(files) + 1)).tolist()
        begins = starts[order] - first
        ends = (begins + lengths[order]).tolist()
        parts = [tokens[begin:end] for begin, end in zip(begins.tolist(), ends, strict=True)]
        for file, begin, end in zip(files, bounds, bounds[1:], strict=False):
            if end > begin:
                file.write(np.concatenate(parts[begin:end]).data)


def fill_stretch(
    tokens: Tokens, starts: Ints, lengths: Counts, row_of: Counts, rows: int, context: int, is_joined: bool
) -> Iterator[tuple[Tokens, npt.NDArray[np.int32]]]:
    """As fill_rows, for pieces whose tokens are at `starts` of `tokens`, in `rows` rows from 0."""
    order = np.argsort(row_of, kind="stable")
    sorted_rows = row_of[order]
    at_once = rows_at_once(context)
    for first in range(0, rows, at_once):
        last = min(rows, first + at_once)
        begin, end = np.searchsorted(sorted_rows, [first, last])
        own = order[begin:end]
        row, length = sorted_rows[begin:end] - first, lengths[own]
        parts = [
            tokens[start:stop]
            for start, stop in zip(starts[own].tolist(), (starts[own] + length).tolist(), strict=True)
        ]
        # A row is full from its beginning on, so where it is full the tokens stand in the order of the pieces.
        is_full = np.arange(context) < np.bincount(row, weights=length, minlength=last - first)[:, None]
        place_in_row = (
            np.zeros(own.size, dtype=np.int32) if is_joined else np.arange(own.size) - np.searchsorted(row, row)
        )
        input_ids = np.full((last - first, context), PAD, dtype=tokens.dtype)
        input_ids[is_full] = np.concatenate(parts)
        document = np.full((last - first, context), PADDING_DOCUMENT, dtype=np.int32)
        document[is_full] = np.repeat(place_in_row.astype(np.int32), length)
        yield input_ids, document


def write_stream(
    inputs: list[Path], vocabulary: Vocabulary, weights: dict[str, float] | None, stream: IO[bytes]
) -> Documents:
    """Append the tokens of all documents of `inputs` to `stream`, in the vocabulary's dtype. Errors as `pack_files`."""
    read = reader(vocabulary)
    all_lengths = [np.empty(0, dtype=np.int32)]
    draws = [np.empty(0, dtype=np.int64)]
    origins = [np.empty(0, dtype=np.uint16)]
    empty = 0
    for path in commands.progress(inputs, len(inputs), "files read"):
        for block in read(path):
            tokens, lengths = to_tokens(block, vocabulary)
            stream.write(tokens.data)
            all_lengths.append(lengths.astype(np.int32))
            empty += len(block.ids) - lengths.size
            if weights is not None:
                ids = [name for name, length in zip(block.ids, block.lengths, strict=True) if length]
                draws.append(np.array([stable_hash(f"mixture {name}") >> 1 for name in ids], dtype=np.int64))
                origins.append(np.full(lengths.size, origin(path, weights), dtype=np.uint16))
    stream.flush()
    return Documents(np.concatenate(all_lengths), np.concatenate(draws), np.concatenate(origins), empty)


def pack_files(inputs: list[Path], settings: PackTokens, output: Path) -> dict[str, Any]:
    """Pack the documents of `inputs` (unit shards, or stories as JSONL for a vocabulary of text) into rows.

    Returns the manifest, which is written to `output` too. The tokens wait in unnamed files beside the output, which
    take twice the tokens' 2 or 4 bytes, so that memory holds what rows are planned by (26 bytes a document, measured)
    and a stretch of rows. Raises InputError if a file cannot be read, a unit is outside the vocabulary, or there is no
    document at all.
    """
    vocabulary = Vocabulary.of(settings.vocabulary)
    context = settings.context
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output) as stream:
        documents = write_stream(inputs, vocabulary, settings.weights, stream)
        lengths, empty = documents.lengths, documents.empty
        if not lengths.size:
            raise InputError(f"no documents in {', '.join(str(path) for path in inputs)}; nothing to pack")
        starts = np.cumsum(lengths, dtype=np.int64)
        starts -= lengths
        mixture = None
        if settings.weights is not None:
            chosen, mixture = mix(lengths, documents.origins, documents.draws, settings.weights)
            lengths, starts = lengths[chosen], starts[chosen]
        counts = {"documents": int(lengths.size), "cut_documents": int((lengths > context).sum())}
        del documents
        pieces, row_of = pieces_in_rows(lengths, starts, settings)
        del lengths, starts
        rows, tokens = int(row_of.max()) + 1, int(pieces.lengths.sum())
        batches = fill_rows(stream, vocabulary.dtype, pieces, row_of, context, settings.documents == "joined", output)
        digest = write_rows(batches, -(-rows // rows_at_once(context)), context, vocabulary.dtype, output)
    manifest = {
        "context": context,
        "vocabulary": vocabulary.record(),
        "rows": rows,
        "tokens": tokens,
        **counts,
        "empty_documents": empty,
        "fill": round(tokens / (rows * context), 6),
        "sha256": digest,
        "inputs": [{"file": fingerprint_name(path), "sha256": files.sha256_file(path)} for path in inputs],
        "settings": settings.model_dump(exclude_none=True),
        "versions": {name: version(name) for name in ("datasets", "numpy", "pyarrow")},
    }
    if mixture is not None:
        manifest["mixture"] = mixture
    files.write_json(output / "manifest.json", manifest)
    return manifest
