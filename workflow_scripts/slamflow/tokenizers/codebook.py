"""Codebooks: k-means centroids, how frames get their unit, and how centroids are fitted and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from slamflow.assets.restricted_pickle import read_centroids
from slamflow.errors import InputError
from slamflow.files import atomic_path
from slamflow.tokenizers.kmeans import kmeans
from slamflow.tokenizers.precision import EXACT

NEAR_TIE = 1e-4
"""Two centroids are nearly tied for a frame if their distances differ by less than this share of the larger."""
CHUNK = 4096
"""Frames per matrix product: bounds the memory of the distances."""
CANDIDATES = 4
"""Centroids whose distances are computed once more, without the matrix product's cancellation."""


@dataclass(frozen=True)
class Codebook:
    """Centroids [clusters, dimension] and, where features are standardized, mean and scale [dimension]; float32."""

    centroids: np.ndarray
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    precision: str = EXACT
    """Of the network whose frames it was fitted on; fp32 where that is not said."""

    def check(self, path: Path, dimension: int | None, clusters: int) -> None:
        """Raise InputError unless the codebook fits the encoder (None: not known) and the settings."""
        if len(self.centroids) != clusters:
            raise InputError(f"{path}: {len(self.centroids)} centroids, but clusters is {clusters}")
        if dimension is not None and self.centroids.shape[1] != dimension:
            raise InputError(f"{path}: made for features of {self.centroids.shape[1]}, the encoder has {dimension}")

    def save(self, path: Path) -> None:
        """Write a safetensors file, atomically."""
        tensors = {"centroids": self.centroids, "mean": self.mean, "scale": self.scale}
        kept = {name: np.ascontiguousarray(x) for name, x in tensors.items() if x is not None}
        with atomic_path(path) as temporary:
            save_file(kept, temporary, None if self.precision == EXACT else {"precision": self.precision})


def read_codebook(path: Path) -> Codebook:
    """Read a codebook from safetensors (`centroids`, perhaps `mean` and `scale`), .npy, or a k-means pickle.

    Nothing in the file is executed. Raises InputError if the file is missing, damaged, or not a codebook.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    precision = EXACT
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                precision = (file.metadata() or {}).get("precision", EXACT)
        elif path.suffix == ".npy":
            tensors = {"centroids": np.load(path, allow_pickle=False)}
        else:
            tensors = {"centroids": read_centroids(path)}
    except (SafetensorError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if "centroids" not in tensors or ("mean" in tensors) != ("scale" in tensors):
        raise InputError(f"{path}: needs the tensor centroids, and mean and scale both or neither")
    parts = {name: tensors[name].astype(np.float32) for name in ("centroids", "mean", "scale") if name in tensors}
    centroids = parts["centroids"]
    if centroids.ndim != 2 or not 2 <= len(centroids) <= 65000:
        raise InputError(f"{path}: centroids have the shape {centroids.shape}, expected [2 to 65000, dimension]")
    if any(part.shape[-1] != centroids.shape[1] or not np.isfinite(part).all() for part in parts.values()):
        raise InputError(f"{path}: the tensors differ in dimension or hold NaN")
    return Codebook(**parts, precision=precision)


class Quantizer:
    """Assigns frames to the nearest centroid, on one device."""

    def __init__(self, codebook: Codebook, device: torch.device) -> None:
        centroids = torch.from_numpy(codebook.centroids)
        # Distances do not change when everything is moved; about the centroids' middle, rounding errors are least.
        middle = centroids.double().mean(dim=0).float()
        self.shift = middle
        self.scale: torch.Tensor | None = None
        if codebook.mean is not None and codebook.scale is not None:
            # (x - mean) / scale - middle, as one difference and one product
            scale = torch.from_numpy(codebook.scale)
            self.shift = torch.from_numpy(codebook.mean) + middle * scale
            self.scale = (1 / scale).to(device)
        self.shift = self.shift.to(device)
        self.centroids = (centroids - middle).to(device)
        self.squares = self.centroids.double().square().sum(dim=1).float()
        self.candidates = min(CANDIDATES, len(centroids))

    @torch.inference_mode()
    def assign(self, frames: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Units (int64 [frames]) of frames (float32 [frames, dimension]), and which of them are near ties (bool).

        A matrix product finds the few nearest centroids; the distances to them are then summed up directly.
        """
        units, ties = [], []
        for chunk in frames.split(CHUNK):
            moved = chunk - self.shift if self.scale is None else (chunk - self.shift) * self.scale
            rough = torch.addmm(self.squares, moved, self.centroids.T, alpha=-2)  # squared distance less |frame|^2
            nearest = rough.topk(self.candidates, dim=1, largest=False).indices
            distances = torch.linalg.vector_norm(moved[:, None] - self.centroids[nearest], dim=2)
            two = distances.topk(2, dim=1, largest=False)
            units.append(nearest.gather(1, two.indices[:, :1])[:, 0])
            ties.append(two.values[:, 1] - two.values[:, 0] <= NEAR_TIE * two.values[:, 1])
        return torch.cat(units).cpu().numpy(), torch.cat(ties).cpu().numpy()


def fit_codebook(frames: np.ndarray, clusters: int, seed: int, standardize: bool) -> Codebook:
    """A codebook by k-means of frames, float32 [frames, dimension]; the same frames give the same bytes.

    Raises InputError if there are fewer frames than clusters.
    """
    if len(frames) < clusters:
        raise InputError(f"{len(frames)} frames cannot make {clusters} clusters; raise fit.hours or lower clusters")
    mean = scale = None
    if standardize:
        mean = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = frames.std(axis=0, dtype=np.float64).astype(np.float32)
        scale[scale == 0] = 1
        frames = (frames - mean) / scale
    return Codebook(kmeans(torch.from_numpy(frames), clusters, seed).numpy(), mean, scale)
