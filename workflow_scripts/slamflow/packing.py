"""Documents into rows of one fixed length: the tokens, and the bin packing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
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

Tokens = npt.NDArray[Any]
"""Of a vocabulary's dtype."""


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

    lengths: Ints
    """Tokens of each, BOS and EOS included."""
    draws: Ints
    """Hashes of their ids, by which a mixture chooses; none without weights."""
    origins: Ints
    """Which of the weighted corpora each is of; none without weights."""
    empty: int
    """How many more had no tokens, and are left out."""


@dataclass(frozen=True)
class Pieces:
    """What is put into rows: whole documents, and the parts of those that are longer than a row."""

    starts: Ints
    """First position of each piece in the stream of all tokens."""
    lengths: Ints
    """Tokens of each piece, from 1 to the row's length."""


def pieces_in_rows(lengths: Ints, starts: Ints, settings: PackTokens) -> tuple[Pieces, Ints]:
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
        return pieces, random.permutation(pieces.lengths.size)
    row_of = best_fit_decreasing(pieces.lengths, settings.context)
    return pieces, random.permutation(int(row_of.max()) + 1)[row_of]


def join(lengths: Ints, starts: Ints, context: int) -> tuple[Pieces, Ints]:
    """The documents end to end, cut into rows of `context` positions wherever one is full.

    Returns the pieces in their order, of which each lies in one document and one row, and the row of each.
    """
    ends = np.cumsum(lengths)
    begins = ends - lengths
    first = begins // context
    count = (ends - 1) // context - first + 1
    document = np.repeat(np.arange(lengths.size), count)
    row = first[document] + np.arange(document.size) - np.repeat(np.cumsum(count) - count, count)
    begin = np.maximum(begins[document], row * context)
    end = np.minimum(ends[document], (row + 1) * context)
    return Pieces(starts[document] + begin - begins[document], end - begin), row


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


def mix(lengths: Ints, origins: Ints, draws: Ints, weights: dict[str, float]) -> tuple[Ints, dict[str, Any]]:
    """Choose documents so that the tokens of each corpus are in proportion to its weight; none is taken twice.

    Of the corpus that is scarcest for its weight all are taken; of the others, in the order of `draws`, as many as do
    not exceed their share, so each falls short of it by less than its longest document. Parameters: `lengths` in
    tokens, `origins` the number of the document's corpus in the order of `weights`, `draws` a hash of its id; int64
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
        taken = own[np.cumsum(lengths[own]) <= wanted * (1 + 1e-9)]
        chosen.append(taken)
        mixture[name] = {"tokens": int(lengths[taken].sum()), "of": int(present[number]), "documents": int(taken.size)}
    return np.sort(np.concatenate(chosen)), mixture


def cut(lengths: Ints, starts: Ints, context: int) -> Pieces:
    """Cut documents longer than `context` into full rows and a rest; leave the others whole.

    BOS stays with the first piece only and EOS with the last only. A rest of one token (EOS alone) is kept, so that
    no token is lost, though nothing can be learned from it.
    """
    count = -(-lengths // context)
    document = np.repeat(np.arange(lengths.size), count)
    offset = (np.arange(document.size) - np.repeat(np.cumsum(count) - count, count)) * context
    return Pieces(starts[document] + offset, np.minimum(context, lengths[document] - offset))


def best_fit_decreasing(lengths: Ints, capacity: int) -> Ints:
    """Row index of each piece, by best-fit decreasing: longest first, each into the fullest row that has room.

    Best-fit packing for language models: Ding et al., "Fewer Truncations Improve Language Modeling" (2024). Pieces
    of one length are interchangeable and so are rows with the same room left, so both are handled in bulk (as in the
    histogram packing of Krell et al. 2021): the work grows with the number of different lengths and rooms, not with
    that of the pieces. A bit set of the rooms that occur gives the smallest one that suffices.

    `lengths` lie in [1, capacity]. Rows are numbered from 0 without gaps.
    """
    row_of = np.empty(lengths.size, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    sizes, counts = np.unique(lengths, return_counts=True)
    with_room: dict[int, list[Ints]] = {}
    rooms = 0  # bit r is set if rows with room r exist
    rows_used = position = 0

    def keep(rows: Ints, room: int) -> None:
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
                rows = np.arange(rows_used, rows_used - (-left // (capacity // length)))
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
    tokens: Tokens, pieces: Pieces, row_of: Ints, context: int, is_joined: bool = False
) -> Iterator[tuple[Tokens, Any]]:
    """Yield `input_ids` (as `tokens`) and `document` (int32), both [some rows, context], in the order of the rows.

    Within a row the pieces follow the order of the input; with `is_joined` they count as one document.
    """
    order = np.argsort(row_of, kind="stable")
    rows = int(row_of.max()) + 1
    bounds = np.searchsorted(row_of[order], np.arange(rows + 1)).tolist()
    starts, lengths = pieces.starts[order].tolist(), pieces.lengths[order].tolist()
    at_once = rows_at_once(context)
    for first in range(0, rows, at_once):
        last = min(rows, first + at_once)
        input_ids = np.full((last - first, context), PAD, dtype=tokens.dtype)
        document = np.full((last - first, context), PADDING_DOCUMENT, dtype=np.int32)
        for row in range(first, last):
            offset = 0
            for index, piece in enumerate(range(bounds[row], bounds[row + 1])):
                end = offset + lengths[piece]
                input_ids[row - first, offset:end] = tokens[starts[piece] : starts[piece] + lengths[piece]]
                document[row - first, offset:end] = 0 if is_joined else index
                offset = end
        yield input_ids, document


def write_stream(
    inputs: list[Path], vocabulary: Vocabulary, weights: dict[str, float] | None, stream: IO[bytes]
) -> Documents:
    """Append the tokens of all documents of `inputs` to `stream`, in the vocabulary's dtype. Errors as `pack_files`."""
    read = reader(vocabulary)
    none = np.empty(0, dtype=np.int64)
    all_lengths, draws, origins = [none], [none], [none]
    empty = 0
    for path in commands.progress(inputs, len(inputs), "files read"):
        for block in read(path):
            tokens, lengths = to_tokens(block, vocabulary)
            stream.write(tokens.tobytes())
            all_lengths.append(lengths)
            empty += len(block.ids) - lengths.size
            if weights is not None:
                ids = [name for name, length in zip(block.ids, block.lengths, strict=True) if length]
                draws.append(np.array([stable_hash(f"mixture {name}") >> 1 for name in ids], dtype=np.int64))
                origins.append(np.full(lengths.size, origin(path, weights), dtype=np.int64))
    stream.flush()
    return Documents(np.concatenate(all_lengths), np.concatenate(draws), np.concatenate(origins), empty)


def pack_files(inputs: list[Path], settings: PackTokens, output: Path) -> dict[str, Any]:
    """Pack the documents of `inputs` (unit shards, or stories as JSONL for a vocabulary of text) into rows.

    Returns the manifest, which is written to `output` too. The tokens wait in an unnamed file beside the output, so
    that memory holds the documents' positions (about 60 bytes each) and not their tokens. Raises InputError if a file
    cannot be read, a unit is outside the vocabulary, or there is no document at all.
    """
    vocabulary = Vocabulary.of(settings.vocabulary)
    context = settings.context
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output) as stream:
        documents = write_stream(inputs, vocabulary, settings.weights, stream)
        lengths = documents.lengths
        if not lengths.size:
            raise InputError(f"no documents in {', '.join(str(path) for path in inputs)}; nothing to pack")
        starts = np.cumsum(lengths) - lengths
        mixture = None
        if settings.weights is not None:
            chosen, mixture = mix(lengths, documents.origins, documents.draws, settings.weights)
            lengths, starts = lengths[chosen], starts[chosen]
        pieces, row_of = pieces_in_rows(lengths, starts, settings)
        rows = int(row_of.max()) + 1
        everything = np.asarray(np.memmap(stream, dtype=vocabulary.dtype, mode="r"))
        batches = fill_rows(everything, pieces, row_of, context, settings.documents == "joined")
        digest = write_rows(batches, -(-rows // rows_at_once(context)), context, vocabulary.dtype, output)
    manifest = {
        "context": context,
        "vocabulary": vocabulary.record(),
        "rows": rows,
        "tokens": int(pieces.lengths.sum()),
        "documents": int(lengths.size),
        "empty_documents": documents.empty,
        "cut_documents": int((lengths > context).sum()),
        "fill": round(float(pieces.lengths.sum()) / (rows * context), 6),
        "sha256": digest,
        "inputs": [{"file": fingerprint_name(path), "sha256": files.sha256_file(path)} for path in inputs],
        "settings": settings.model_dump(exclude_none=True),
        "versions": {name: version(name) for name in ("datasets", "numpy", "pyarrow")},
    }
    if mixture is not None:
        manifest["mixture"] = mixture
    files.write_json(output / "manifest.json", manifest)
    return manifest
