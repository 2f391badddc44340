"""Codebooks: assignment against a plain oracle, fitting, files, and pickles that must not run."""

from __future__ import annotations

import copy
import functools
import io
import os
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_limits

from slamflow.assets.restricted_pickle import read_centroids
from slamflow.errors import InputError
from slamflow.tokenizers.codebook import NEAR_TIE, Codebook, Quantizer, fit_codebook, read_codebook
from slamflow.tokenizers.kmeans import kmeans
from slamflow.tokenizers.kmeans import start as kmeans_start
from slamflow.tokenizers.kmeans import step as kmeans_step

CPU = torch.device("cpu")


def random_codebook(clusters: int, dimension: int, standardized: bool, seed: int = 0) -> Codebook:
    random = np.random.default_rng(seed)
    centroids = random.normal(3, 1, (clusters, dimension)).astype(np.float32)
    if not standardized:
        return Codebook(centroids)
    mean = random.normal(0, 10, dimension).astype(np.float32)
    return Codebook(centroids, mean, random.uniform(0.5, 3, dimension).astype(np.float32))


def distances(codebook: Codebook, frames: np.ndarray) -> np.ndarray:
    """The oracle: standardize, subtract, square, sum, root, all in float64."""
    x = frames.astype(np.float64)
    if codebook.mean is not None and codebook.scale is not None:
        x = (x - codebook.mean) / codebook.scale
    return np.sqrt(((x[:, None] - codebook.centroids[None].astype(np.float64)) ** 2).sum(axis=2))


@pytest.mark.parametrize("standardized", [False, True])
def test_assignment_is_the_nearest_centroid(standardized: bool) -> None:
    codebook = random_codebook(40, 16, standardized)
    frames = np.random.default_rng(1).normal(3, 5, (3000, 16)).astype(np.float32)
    units, ties = Quantizer(codebook, CPU).assign(torch.from_numpy(frames))
    expected = distances(codebook, frames)
    wrong = units != expected.argmin(axis=1)
    assert not (wrong & ~ties).any()
    two = np.sort(expected, axis=1)[:, :2]
    gap = (two[:, 1] - two[:, 0]) / two[:, 1]
    clear = np.abs(gap - NEAR_TIE) > 1e-5  # rounding may move a frame over the threshold itself
    np.testing.assert_array_equal(ties[clear], (gap <= NEAR_TIE)[clear])
    assert ties.mean() < 0.01


def test_a_frame_between_two_centroids_is_a_near_tie() -> None:
    codebook = Codebook(np.array([[0, 0], [2, 0], [100, 100]], np.float32))
    frames = torch.tensor([[1.0, 0.0], [1.00004, 0.0], [1.01, 0.0], [0.0, 0.0]])
    units, ties = Quantizer(codebook, CPU).assign(frames)
    assert ties.tolist() == [True, True, False, False]
    assert units[1:].tolist() == [1, 1, 0]


def test_distances_survive_a_large_offset() -> None:
    """HuBERT has a few features far from zero; squared norms then swallow the differences."""
    codebook = random_codebook(40, 16, False)
    frames = np.random.default_rng(1).normal(3, 1, (3000, 16)).astype(np.float32)
    far = Codebook(codebook.centroids + np.float32(1024))
    units, ties = Quantizer(far, CPU).assign(torch.from_numpy(frames + np.float32(1024)))
    expected = distances(far, frames + np.float32(1024)).argmin(axis=1)
    assert not ((units != expected) & ~ties).any()


def test_assignment_does_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    codebook = random_codebook(40, 16, True)
    frames = torch.randn(1000, 16)
    units, _ = Quantizer(codebook, CPU).assign(frames)
    monkeypatch.setattr("slamflow.tokenizers.codebook.CHUNK", 7)
    small, ties = Quantizer(codebook, CPU).assign(frames)
    assert not ((units != small) & ~ties).any()


def test_fit_finds_separate_clusters_and_scales_features() -> None:
    random = np.random.default_rng(0)
    middles = random.normal(0, 1, (5, 4)) * [1, 1, 1, 1000]
    frames = np.concatenate([middle + random.normal(0, 0.01, (200, 4)) * [1, 1, 1, 1000] for middle in middles])
    codebook = fit_codebook(frames.astype(np.float32), 5, seed=0, standardize=True)
    assert codebook.mean is not None
    assert codebook.scale is not None
    np.testing.assert_allclose(codebook.mean, frames.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(codebook.scale, frames.std(axis=0), rtol=1e-4)
    units, _ = Quantizer(codebook, CPU).assign(torch.from_numpy(frames.astype(np.float32)))
    assert [len(set(units[i * 200 : (i + 1) * 200])) for i in range(5)] == [1] * 5
    assert len(set(units)) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_kmeans_is_as_good_as_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    middles = random.normal(0, 1, (30, 10))
    frames = (middles[random.integers(0, 30, 4000)] + random.normal(0, 1, (4000, 10)) + 50).astype(np.float32)
    with threadpool_limits(1):
        expected = KMeans(25, n_init=3, random_state=seed).fit(frames).inertia_
    codebook = Codebook(kmeans(torch.from_numpy(frames), 25, seed).numpy())
    assert (distances(codebook, frames).min(axis=1) ** 2).sum() < 1.05 * expected


def test_kmeans_starts_in_every_cluster() -> None:
    random = np.random.default_rng(0)
    middles = random.normal(0, 1000, (30, 3))
    frames = np.repeat(middles, 50, axis=0) + random.normal(0, 0.01, (1500, 3))
    for seed in range(5):
        chosen = kmeans_start(torch.from_numpy(frames).float(), 30, torch.Generator().manual_seed(seed)).numpy()
        assert sorted(distances(Codebook(middles.astype(np.float32)), chosen).argmin(axis=1)) == list(range(30))


def test_a_kmeans_step_is_the_mean_of_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slamflow.tokenizers.kmeans.CHUNK", 100)
    random = np.random.default_rng(0)
    frames, centroids = random.normal(0, 1, (950, 4)), random.normal(0, 1, (7, 4))
    centroids[6] = 100  # loses all
    moved, spread = kmeans_step(torch.from_numpy(frames).float(), torch.from_numpy(centroids).float())
    every = distances(Codebook(centroids.astype(np.float32)), frames)
    nearest = every.argmin(axis=1)
    assert spread == pytest.approx((every.min(axis=1) ** 2).mean(), rel=1e-5)
    for cluster in range(6):
        np.testing.assert_allclose(moved[cluster], frames[nearest == cluster].mean(axis=0), atol=1e-5)
    assert moved[6].tolist() == [100] * 4


def test_kmeans_of_fewer_distinct_frames_than_clusters() -> None:
    frames = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).repeat(10, 1)
    centroids = kmeans(frames, 5, 0)
    assert {tuple(row) for row in centroids.tolist()} == {(1.0, 2.0), (3.0, 4.0)}


def test_fit_gives_the_same_bytes(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).normal(0, 1, (3000, 8)).astype(np.float32)
    for name in "ab":
        fit_codebook(frames, 20, seed=3, standardize=True).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    other = fit_codebook(frames, 20, seed=4, standardize=True)
    assert not np.array_equal(other.centroids, fit_codebook(frames, 20, seed=3, standardize=True).centroids)


def test_fit_of_constant_features_and_of_too_few_frames() -> None:
    frames = np.random.default_rng(0).normal(0, 1, (50, 3)).astype(np.float32)
    frames[:, 1] = 7
    assert np.isfinite(fit_codebook(frames, 4, seed=0, standardize=True).centroids).all()
    with pytest.raises(InputError, match="50 frames cannot make 51 clusters"):
        fit_codebook(frames, 51, seed=0, standardize=False)


@pytest.mark.parametrize("standardized", [False, True])
def test_safetensors_round_trip(tmp_path: Path, standardized: bool) -> None:
    codebook = random_codebook(6, 3, standardized)
    codebook.save(tmp_path / "codebook.safetensors")
    again = read_codebook(tmp_path / "codebook.safetensors")
    for one, other in zip(vars(codebook).values(), vars(again).values(), strict=True):
        assert (one is None and other is None) or np.array_equal(one, other)


def test_npy_is_read_but_not_executed(tmp_path: Path) -> None:
    centroids = random_codebook(6, 3, False).centroids
    np.save(tmp_path / "good.npy", centroids.astype(np.float64))
    np.testing.assert_array_equal(read_codebook(tmp_path / "good.npy").centroids, centroids)
    np.save(tmp_path / "bad.npy", np.array([Evil(tmp_path / "canary")], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"bad\.npy"):
        read_codebook(tmp_path / "bad.npy")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"other": np.zeros((3, 2), np.float32)}, "needs the tensor centroids"),
        ({"centroids": np.zeros((3, 2), np.float32), "mean": np.zeros(2, np.float32)}, "both or neither"),
        ({"centroids": np.zeros(3, np.float32)}, "shape"),
        ({"centroids": np.full((3, 2), np.nan, np.float32)}, "NaN"),
        ({"centroids": np.zeros((3, 2), np.float32), "mean": np.zeros(3, np.float32), "scale": np.ones(3)}, "differ"),
    ],
)
def test_files_that_are_no_codebook(tmp_path: Path, tensors: dict[str, np.ndarray], message: str) -> None:
    save_file(tensors, tmp_path / "codebook.safetensors")
    with pytest.raises(InputError, match=message):
        read_codebook(tmp_path / "codebook.safetensors")


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_codebook(tmp_path / "none.safetensors")
    for name in ("x.safetensors", "x.npy", "x.bin"):
        (tmp_path / name).write_bytes(b"garbage" * 10)
        with pytest.raises(InputError, match=name):
            read_codebook(tmp_path / name)


def test_check_names_what_does_not_fit() -> None:
    codebook = random_codebook(6, 3, False)
    codebook.check(Path("x"), 3, 6)
    codebook.check(Path("x"), None, 6)
    with pytest.raises(InputError, match="6 centroids, but clusters is 5"):
        codebook.check(Path("x"), 3, 5)
    with pytest.raises(InputError, match="features of 3, the encoder has 4"):
        codebook.check(Path("x"), 4, 6)


# Pickles


@functools.cache
def fitted_once(kind: type) -> Any:
    frames = np.random.default_rng(0).normal(0, 1, (300, 7)).astype(np.float32)
    with threadpool_limits(1):
        return kind(9, n_init=1, random_state=np.random.RandomState(1)).fit(frames)


def fitted(kind: type = MiniBatchKMeans) -> Any:
    return copy.deepcopy(fitted_once(kind))


@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_real_kmeans_pickles_are_read(tmp_path: Path, kind: type, protocol: int) -> None:
    kmeans = fitted(kind)
    (tmp_path / "km.bin").write_bytes(pickle.dumps(kmeans, protocol))
    centroids = read_centroids(tmp_path / "km.bin")
    np.testing.assert_array_equal(centroids, kmeans.cluster_centers_.astype(np.float32))
    assert centroids.dtype == np.float32


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_real_joblib_files_are_read(tmp_path: Path, protocol: int, order: Any) -> None:
    kmeans = fitted()
    kmeans.cluster_centers_ = np.asarray(kmeans.cluster_centers_, order=order)
    joblib.dump(kmeans, tmp_path / "km.bin", protocol=protocol)
    np.testing.assert_array_equal(read_centroids(tmp_path / "km.bin"), kmeans.cluster_centers_.astype(np.float32))


def test_files_of_old_scikit_learn_are_read(tmp_path: Path) -> None:
    """The published codebooks: modules of scikit-learn 0.2x, arrays of joblib 0.1x without alignment."""
    kmeans = fitted()

    class Pickler(joblib.numpy_pickle.NumpyPickler):
        def _create_array_wrapper(self, array: np.ndarray) -> Any:
            wrapper = super()._create_array_wrapper(array)
            del wrapper.numpy_array_alignment_bytes
            return wrapper

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(kmeans)
    data = stream.getvalue()
    for new, old in (
        (b"csklearn.cluster._kmeans\n", b"csklearn.cluster.k_means_\n"),
        (b"cjoblib.numpy_pickle\n", b"csklearn.externals.joblib.numpy_pickle\n"),
    ):
        assert new in data
        data = data.replace(new, old)
    (tmp_path / "km.bin").write_bytes(data)
    np.testing.assert_array_equal(read_centroids(tmp_path / "km.bin"), kmeans.cluster_centers_.astype(np.float32))


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, canary: Path, call: Any = os.system) -> None:
        self.canary, self.call = canary, call

    def __reduce__(self) -> Any:
        if self.call is os.system:
            return os.system, (f"touch {self.canary}",)
        return self.call, (f"open({str(self.canary)!r}, 'w')",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("call", [os.system, eval, exec])
@pytest.mark.parametrize("where", ["attribute", "whole", "centers"])
def test_a_tampered_pickle_is_refused_and_does_not_run(tmp_path: Path, protocol: int, call: Any, where: str) -> None:
    canary = tmp_path / "canary"
    kmeans = fitted()
    if where == "attribute":
        kmeans.extra = Evil(canary, call)
    elif where == "centers":
        kmeans.cluster_centers_ = Evil(canary, call)
    data = pickle.dumps(Evil(canary, call) if where == "whole" else kmeans, protocol)
    (tmp_path / "km.bin").write_bytes(data)
    with pytest.raises(InputError, match="refused"):
        read_codebook(tmp_path / "km.bin")
    assert not canary.exists()
    pickle.loads(data)  # the test's own proof: elsewhere it does run
    assert canary.exists()


def test_a_tampered_joblib_file_is_refused(tmp_path: Path) -> None:
    kmeans = fitted()
    kmeans.extra = np.array([Evil(tmp_path / "canary")], dtype=object)
    joblib.dump(kmeans, tmp_path / "km.bin")
    with pytest.raises(InputError, match="refused"):
        read_codebook(tmp_path / "km.bin")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cnumpy\ndtype\ncnumpy\nndarray\n(S'f4'\ntR\x86R.",  # call what a call returned
        b"cnumpy\nndarray\n)R}S'__class__'\nNsb.",  # a state for a stand-in without one
        b"cnumpy\nndarray\n}S'x'\nNsb.",  # attributes into a class
        b"cnumpy.core.multiarray\n_reconstruct\n}S'__globals__'\nNsb.",  # attributes into a function
        b"cposix\nsystem\n(S'true'\ntR.",
        b"(S'true'\niposix\nsystem\n.",  # the old INST opcode
        b"\x82\x01.",  # the extension registry
        b"Pname\n.",  # persistent ids
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.",  # dotted names
    ],
)
def test_odd_programs_are_refused(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "km.bin").write_bytes(program)
    with pytest.raises(InputError, match="refused"):
        read_centroids(tmp_path / "km.bin")


def test_other_objects_are_refused(tmp_path: Path) -> None:
    unfitted = MiniBatchKMeans(3)
    for value in ({"cluster_centers_": np.zeros((2, 2))}, np.zeros((3, 2)), [1, 2]):
        (tmp_path / "km.bin").write_bytes(pickle.dumps(value))
        with pytest.raises(InputError, match="not a pickled KMeans"):
            read_centroids(tmp_path / "km.bin")
    (tmp_path / "km.bin").write_bytes(pickle.dumps(unfitted))
    with pytest.raises(InputError, match="was it fitted"):
        read_centroids(tmp_path / "km.bin")
    joblib.dump(fitted(), tmp_path / "compressed.bin", compress=3)
    with pytest.raises(InputError, match="refused"):
        read_centroids(tmp_path / "compressed.bin")


def test_damaged_pickles_end_in_an_input_error(tmp_path: Path) -> None:
    """Flipped and cut bytes: never another exception, never a wrong size."""
    joblib.dump(fitted(), tmp_path / "km.bin")
    data = (tmp_path / "km.bin").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(3):
            broken[random.integers(len(broken))] = random.integers(256)
        if random.random() < 0.3:
            broken = broken[: random.integers(len(broken))]
        (tmp_path / "km.bin").write_bytes(broken)
        try:
            centroids = read_centroids(tmp_path / "km.bin")
        except InputError:
            continue
        assert centroids.size <= len(data)
