"""Rows against a slow packer, and the rules on what may be cut, lost or doubled."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pack_tokens
from slamflow import files, packing
from slamflow.errors import InputError
from slamflow.recipe.datasets import PackTokens, VocabularySettings
from slamflow.shards.rows import ARROW_FILE, Rows
from slamflow.vocabulary import Vocabulary

BOS = EOS = 1


def write_shard(path: Path, documents: list[list[int]], first_id: int = 0, dtype: pa.DataType | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "id": [f"doc-{first_id + index}" for index in range(len(documents))],
            "units": pa.array(documents, pa.list_(dtype or pa.uint16())),
        }
    )
    pq.write_table(table, path, row_group_size=7)
    return path


def pack(inputs: list[Path], output: Path, **settings: object) -> dict:
    chosen = {"context": 32, "vocabulary": {"units": 50}, "seed": 0, **settings}
    names = [str(path) for path in inputs]
    pack_tokens.main(["--settings", json.dumps(chosen), "--input", *names, "--output", str(output)])
    return files.read_json(output / "manifest.json")


def pieces_of(output: Path) -> list[list[list[int]]]:
    """The pieces of each row, read as a trainer would."""
    rows = []
    for row in datasets.load_from_disk(str(output)):
        pieces: dict[int, list[int]] = {}
        for token, document in zip(row["input_ids"], row["document"], strict=True):
            pieces.setdefault(document, []).append(token)
        assert set(pieces.pop(-1, [0])) == {0}, "padding must be PAD and nothing else"
        assert list(pieces) == list(range(len(pieces))), "pieces are numbered from 0 in the order they stand in"
        rows.append(list(pieces.values()))
    return rows


def slow_best_fit_decreasing(lengths: list[int], capacity: int) -> list[int]:
    """The rooms left, by looking at every row for every piece."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [index for index, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting, key=lambda index: rooms[index])] -= length
        else:
            rooms.append(capacity - length)
    return sorted(rooms)


@pytest.mark.parametrize("seed", range(40))
def test_best_fit_decreasing_equals_slow_packer(seed: int) -> None:
    random = np.random.default_rng(seed)
    capacity = int(random.integers(1, 60))
    lengths = random.integers(1, random.integers(1, capacity + 1) + 1, size=random.integers(1, 400))
    row_of = packing.best_fit_decreasing(lengths.astype(np.int64), capacity)
    rows = int(row_of.max()) + 1
    used = np.bincount(row_of, weights=lengths, minlength=rows)
    assert (used > 0).all()
    assert sorted((capacity - used).astype(int).tolist()) == slow_best_fit_decreasing(lengths.tolist(), capacity)


@pytest.mark.parametrize("seed", range(8))
def test_every_document_once_whole_and_in_order(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    context = int(random.integers(8, 40))
    # Few units and many documents: some are equal, so that counting matters.
    documents = [random.integers(0, 50, size=random.integers(1, 3 * context)).tolist() for _ in range(120)]
    first = write_shard(tmp_path / "a.parquet", documents[:70])
    second = write_shard(tmp_path / "b.parquet", documents[70:], first_id=70)
    manifest = pack([first, second], tmp_path / "rows", context=context, seed=seed)

    wanted: list[tuple[int, ...]] = []
    for document in documents:
        tokens = [BOS, *(unit + 2 for unit in document), EOS]
        if len(tokens) <= context:
            wanted.append(tuple(tokens))
        else:
            wanted.extend(tuple(tokens[start : start + context]) for start in range(0, len(tokens), context))
    rows = pieces_of(tmp_path / "rows")
    assert sorted(tuple(piece) for row in rows for piece in row) == sorted(wanted)
    assert all(len(piece) <= context for row in rows for piece in row)

    dataset = datasets.load_from_disk(str(tmp_path / "rows"))
    assert {len(row["input_ids"]) for row in dataset} == {len(row["document"]) for row in dataset} == {context}
    assert manifest["documents"] == 120
    assert manifest["rows"] == len(rows)
    assert manifest["tokens"] == sum(len(document) + 2 for document in documents)
    assert manifest["fill"] == pytest.approx(manifest["tokens"] / (manifest["rows"] * context), abs=1e-6)


def test_long_document_gets_one_bos_and_one_eos(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.parquet", [list(range(20))])
    pack([shard], tmp_path / "rows", context=8)
    pieces = sorted((row[0] for row in pieces_of(tmp_path / "rows")), key=lambda piece: piece[1])
    tokens = [BOS, *range(2, 22), EOS]
    assert sorted(pieces) == sorted([tokens[:8], tokens[8:16], tokens[16:]])


def test_document_of_exactly_one_row_is_not_cut(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.parquet", [[5] * 6, [5] * 7])
    manifest = pack([shard], tmp_path / "rows", context=8)
    assert manifest["cut_documents"] == 1
    pieces = sorted(piece for row in pieces_of(tmp_path / "rows") for piece in row)
    assert pieces == [[EOS], [BOS, *[7] * 6, EOS], [BOS, *[7] * 7]]


def test_same_bytes_twice_and_another_order_with_another_seed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shard = write_shard(tmp_path / "a.parquet", [random.integers(0, 50, 20).tolist() for _ in range(64)])
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        pack([shard], tmp_path / name, seed=seed)
    written = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert written == ["data-00000-of-00001.arrow", "dataset_info.json", "manifest.json", "state.json"]
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert pieces_of(tmp_path / "one") != pieces_of(tmp_path / "three")
    assert sorted(pieces_of(tmp_path / "one")) == sorted(pieces_of(tmp_path / "three"))


def test_what_the_library_reads_and_the_manifest_says(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "en" / "train" / "0000-of-0001.parquet", [[1, 2, 3], [], [4]])
    manifest = pack([shard], tmp_path / "rows")
    dataset = datasets.load_from_disk(str(tmp_path / "rows"))
    assert dataset.features["input_ids"].feature.dtype == "uint16"
    assert dataset.features["document"].feature.dtype == "int32"
    state = files.read_json(tmp_path / "rows" / "state.json")
    assert state["_fingerprint"] == manifest["sha256"][:16]
    assert manifest["sha256"] == files.sha256_file(tmp_path / "rows" / ARROW_FILE)
    assert manifest["inputs"] == [{"file": "en/train/0000-of-0001.parquet", "sha256": files.sha256_file(shard)}]
    assert (manifest["documents"], manifest["empty_documents"]) == (2, 1)
    assert manifest["vocabulary"] == Vocabulary(units=50).record()
    assert str(tmp_path) not in (tmp_path / "rows" / "manifest.json").read_text()


def test_text_is_packed_as_utf8_bytes(tmp_path: Path) -> None:
    stories = tmp_path / "stories.jsonl"
    files.write_jsonl(stories, [{"id": "a", "text": "Zoë ran."}, {"id": "b", "text": "Hi."}])
    pack([stories], tmp_path / "rows", vocabulary={"text": "bytes"})
    rows = pieces_of(tmp_path / "rows")
    assert rows == [[[1, *(byte + 2 for byte in text.encode()), 1] for text in ("Zoë ran.", "Hi.")]]


def tokenizer_folder(folder: Path, words: list[str], size: int) -> Path:
    """A transformers tokenizer of words, with further tokens up to `size`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["[unk]", *words]
    names += [f"more{number}" for number in range(size - len(names))]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="[unk]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[unk]").save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("size", "dtype"), [(20, "uint16"), (70_000, "uint32")])
def test_text_is_packed_by_a_transformers_tokenizer(size: int, dtype: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_folder(tmp_path / "tokenizer", ["Zoë", "ran"], size)
    stories = tmp_path / "stories.jsonl"
    files.write_jsonl(stories, [{"id": "a", "text": f"Zoë ran more{size - 4}"}, {"id": "b", "text": "ran home"}])
    vocabulary = {"text": str(tokenizer), "text_tokens": size}
    manifest = pack([stories], tmp_path / "rows", vocabulary=vocabulary)
    assert pieces_of(tmp_path / "rows") == [[[1, 3, 4, size + 1, 1], [1, 4, 2, 1]]]
    assert datasets.load_from_disk(str(tmp_path / "rows")).features["input_ids"].feature.dtype == dtype
    assert manifest["vocabulary"]["size"] == size + 2
    with pytest.raises(InputError, match=f"has {size} tokens; text_tokens says {size + 1}"):
        pack([stories], tmp_path / "rows", vocabulary={**vocabulary, "text_tokens": size + 1})
    with pytest.raises(InputError, match="cannot be read as a transformers tokenizer"):
        pack([stories], tmp_path / "rows", vocabulary={**vocabulary, "text": str(tmp_path)})


def test_rows_hold_units_or_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give either units or text"):
        pack([tmp_path / "a.parquet"], tmp_path / "rows", vocabulary={"units": 4, "text": "bytes"})


@pytest.mark.parametrize("seed", range(20))
def test_joined_documents_are_one_stream_cut_into_rows(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    context = int(random.integers(8, 40))
    # Document n begins with n, so that its place in the drawn order can be read back.
    documents = [[n, *random.integers(30, 50, size=random.integers(0, 90)).tolist()] for n in range(25)]
    manifest = pack(
        [write_shard(tmp_path / "a.parquet", documents)], tmp_path / "rows", context=context, documents="joined"
    )
    rows = Rows(tmp_path / "rows")
    batch = rows.read(range(len(rows)))
    stream = batch.input_ids[batch.document >= 0].tolist()
    ends = [place for place, token in enumerate(stream) if token == EOS]
    found = [stream[begin + 1 : end] for begin, end in zip([-1, *ends], ends, strict=False)]
    assert stream[-1] == EOS
    assert sorted(found) == [[2 + unit for unit in document] for document in documents]
    assert found != sorted(found), "the documents are shuffled"
    # No row but the last has room left, and a position sees all before it in its row.
    assert (batch.document[:-1] == 0).all()
    assert (batch.positions()[:-1] == np.arange(context)).all()
    assert (batch.targets()[:-1, :-1] == batch.input_ids[:-1, 1:]).all()
    assert manifest["tokens"] == sum(map(len, documents)) + len(documents) == len(stream)
    assert len(rows) == -(-len(stream) // context)


def test_joined_by_hand() -> None:
    # Documents of 3, 5 and 2 tokens that begin at 10, 20 and 30, in rows of 4: 3+1, 4, 2.
    pieces, row = packing.join(np.array([3, 5, 2]), np.array([10, 20, 30]), 4)
    assert pieces.starts.tolist() == [10, 20, 21, 30]
    assert pieces.lengths.tolist() == [3, 1, 4, 2]
    assert row.tolist() == [0, 0, 1, 2]


def test_padded_rows_have_one_piece_each(tmp_path: Path) -> None:
    """SlamKit's chunks (slamkit/data/hf_dataset.py:16-26): so 128 rows are 128 of them."""
    documents = [[unit] * length for unit, length in enumerate((1, 10, 29, 30, 31, 70))]
    pack([write_shard(tmp_path / "a.parquet", documents)], tmp_path / "rows", documents="padded")
    rows = pieces_of(tmp_path / "rows")
    assert all(len(pieces) == 1 for pieces in rows)
    chunks = []
    for document in documents:
        tokens = [BOS, *(2 + unit for unit in document), EOS]
        chunks += [tokens[first : first + 32] for first in range(0, len(tokens), 32)]
    assert sorted(pieces[0] for pieces in rows) == sorted(chunks)


def test_all_shards_by_one_pattern(tmp_path: Path) -> None:
    shards = [write_shard(tmp_path / f"units/{number:04d}-of-0003.parquet", [[number] * 5]) for number in range(3)]
    pack(shards, tmp_path / "named")
    pack([tmp_path / "units/????-of-0003.parquet"], tmp_path / "matched")
    assert (tmp_path / "named/manifest.json").read_bytes() == (tmp_path / "matched/manifest.json").read_bytes()
    shards[1].unlink()
    with pytest.raises(InputError, match=r"0001-of-0003\.parquet: no such file"):
        pack([tmp_path / "units/????-of-0003.parquet"], tmp_path / "matched")


def test_unit_outside_the_vocabulary_names_file_and_id(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.parquet", [[1], [], [49, 3], [50, 4]])
    with pytest.raises(InputError, match=r"a\.parquet: doc-3 has the unit 50, but a vocabulary of 50 units ends at 49"):
        pack([shard], tmp_path / "rows")
    assert not (tmp_path / "rows" / "manifest.json").exists()


@pytest.mark.parametrize(("units", "dtype"), [(65534, "uint16"), (65535, "uint32"), (200_000, "uint32")])
def test_the_largest_unit_does_not_wrap(units: int, dtype: str, tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.parquet", [[units - 1, 0]], dtype=pa.uint32())
    pack([shard], tmp_path / "rows", vocabulary={"units": units})
    assert pieces_of(tmp_path / "rows") == [[[1, units + 1, 2, 1]]]
    assert datasets.load_from_disk(str(tmp_path / "rows")).features["input_ids"].feature.dtype == dtype
    rows = Rows(tmp_path / "rows")
    assert rows.vocabulary == Vocabulary(units=units)
    assert rows.read([0]).input_ids[0, :4].tolist() == [1, units + 1, 2, 1]
    shard = write_shard(tmp_path / "b.parquet", [[units]], dtype=pa.uint32())
    with pytest.raises(InputError, match=str(units)):
        pack([shard], tmp_path / "rows", vocabulary={"units": units})


@pytest.mark.parametrize("documents", [[], [[], []]])
def test_nothing_to_pack(tmp_path: Path, documents: list[list[int]]) -> None:
    shard = write_shard(tmp_path / "a.parquet", documents)
    with pytest.raises(InputError, match=r"no documents in .*a\.parquet"):
        pack([shard], tmp_path / "rows")


def test_files_that_are_something_else(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": ["a"]}), other)
    with pytest.raises(InputError, match=r"other\.parquet: no column units"):
        pack([other], tmp_path / "rows")
    other.write_text("not Parquet")
    with pytest.raises(InputError, match=r"other\.parquet: cannot be read"):
        pack([other], tmp_path / "rows")
    stories = tmp_path / "stories.jsonl"
    files.write_jsonl(stories, [{"id": "a", "text": "x"}, {"id": "b"}])
    with pytest.raises(InputError, match=r"stories\.jsonl, record 2: needs a string 'text'"):
        pack([stories], tmp_path / "rows", vocabulary={"text": "bytes"})


# Mixtures by weights in tokens


@pytest.mark.parametrize("seed", range(60))
def test_a_mixture_keeps_its_weights_and_takes_nothing_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [rng.integers(1, 60, rng.integers(1, 40)).tolist() for _ in range(rng.integers(2, 5))]
    weights = {f"corpus{number}/train": float(rng.uniform(0.05, 1)) for number in range(len(sizes))}
    lengths = np.array([size for corpus in sizes for size in corpus], dtype=np.int64)
    origins = np.repeat(np.arange(len(sizes)), [len(corpus) for corpus in sizes])
    draws = rng.permutation(lengths.size)
    chosen, mixture = packing.mix(lengths, origins, draws, weights)
    assert len(set(chosen.tolist())) == chosen.size
    present = {name: int(lengths[origins == number].sum()) for number, name in enumerate(weights)}
    scale = min(present[name] / weight for name, weight in weights.items())
    for number, (name, weight) in enumerate(weights.items()):
        own = chosen[origins[chosen] == number]
        taken = int(lengths[own].sum())
        assert mixture[name] == {"tokens": taken, "of": present[name], "documents": own.size}
        wanted = scale * weight
        assert taken <= wanted * (1 + 1e-6)
        # It falls short by less than the next document would add.
        rest = np.setdiff1d(np.flatnonzero(origins == number), own)
        if rest.size:
            following = rest[np.argmin(draws[rest])]
            assert taken + lengths[following] > wanted
        else:
            assert taken == present[name]


def test_rows_of_a_mixture_hold_each_corpus_in_proportion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for corpus, unit, documents in (("read", 0, 900), ("told", 1, 200)):
        for shard in range(2):
            path = tmp_path / f"units/e/{corpus}/train/{shard:04d}-of-0002.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [
                {"id": f"{corpus}{shard}-{number}", "units": [unit] * int(rng.integers(5, 30))}
                for number in range(documents)
            ]
            schema = pa.schema([("id", pa.string()), ("units", pa.list_(pa.uint16()))])
            pq.write_table(pa.Table.from_pylist(rows, schema), path)
            paths.append(path)
    weights = {"read/train": 3.0, "told/train": 1.0}
    job = PackTokens(context=64, vocabulary=VocabularySettings(units=2), seed=0, weights=weights)
    manifest = packing.pack_files(paths, job, tmp_path / "rows")
    tokens = np.concatenate([np.array(row["input_ids"]) for row in datasets.load_from_disk(str(tmp_path / "rows"))])
    read, told = int((tokens == 2).sum()), int((tokens == 3).sum())
    assert told == sum(len(row["units"]) for path in paths[2:] for row in pq.read_table(path).to_pylist())
    assert read / told == pytest.approx(3, rel=0.03)
    assert manifest["mixture"]["told/train"]["tokens"] == manifest["mixture"]["told/train"]["of"]
    assert manifest["tokens"] == sum(part["tokens"] for part in manifest["mixture"].values())
    with pytest.raises(InputError, match="the weights have no told/train"):
        packing.pack_files(paths, job.model_copy(update={"weights": {"read/train": 1.0}}), tmp_path / "other")
    more = job.model_copy(update={"weights": {**weights, "more/train": 1.0}})
    with pytest.raises(InputError, match="more/train has no documents"):
        packing.pack_files(paths, more, tmp_path / "other")


# The rows that an earlier, slower packer wrote (commit abce93a), each with what was asked of it.
PINNED = {
    "masked": ({}, "47c3fc3c883041c9"),
    "long": ({"context": 16}, "f77d518573894ae1"),
    "joined": ({"documents": "joined"}, "7578b9bd58e93f52"),
    "padded": ({"documents": "padded"}, "7b55d1bc1b923c73"),
    "weights": ({"weights": {"a/train": 1.0, "b/train": 0.2}}, "87dfee33a438aa01"),
    "joined_weights": ({"documents": "joined", "weights": {"a/train": 0.3, "b/train": 1.0}}, "42295d6b181e7d8d"),
}


@pytest.mark.parametrize("name", PINNED)
def test_rows_are_as_ever_and_the_same_in_one_stretch_or_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    more, pinned = PINNED[name]
    random = np.random.default_rng(3)
    shards = [
        write_shard(
            tmp_path / f"{corpus}/train/{shard:04d}-of-0002.parquet",
            [random.integers(0, 50, random.integers(0, 60)).tolist() for _ in range(150)],
            first_id=150 * shard,
        )
        for corpus in "ab"
        for shard in range(2)
    ]
    manifest = pack(shards, tmp_path / "once", **more)
    batch = Rows(tmp_path / "once").read(range(manifest["rows"]))
    assert files.sha256_json([batch.input_ids.tolist(), batch.document.tolist()])[:16] == pinned
    # Stretches of few rows, and parts of 7 pieces on the way there.
    monkeypatch.setattr(packing, "STRETCH_POSITIONS", 256)
    monkeypatch.setattr(packing, "POSITIONS_AT_ONCE", 128)
    monkeypatch.setattr(packing, "PIECES_AT_ONCE", 7)
    many = pack(shards, tmp_path / "many", **more)
    assert np.array_equal(Rows(tmp_path / "many").read(range(many["rows"])).input_ids, batch.input_ids)
    assert np.array_equal(Rows(tmp_path / "many").read(range(many["rows"])).document, batch.document)
    assert {**many, "sha256": ""} == {**manifest, "sha256": ""}
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == sorted(
        path.name for path in (tmp_path / "once").iterdir()
    )
