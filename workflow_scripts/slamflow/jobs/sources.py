"""Files from outside: assets as they were published or converted, and files and folders of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slamflow.assets import ENCODER_CONVERTERS
from slamflow.assets.asset import Asset
from slamflow.errors import InputError

MODEL_FILES = ("config.json", "model.safetensors")
ENCODER_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")


class Sources:
    """What a setting that names an asset, a file or a folder stands for."""

    def __init__(self, assets: dict[str, Asset], checkout: Path) -> None:
        self.assets = assets
        self.checkout = checkout

    def asset(self, name: str) -> list[str]:
        """All files of an asset."""
        return [f"<resources>/assets/{name}/{file}" for file in self.assets[name].files]

    def file(self, reference: str | None) -> list[str]:
        """A file that a setting names as asset:NAME/FILE or as a path; none for None."""
        if reference is None:
            return []
        if not reference.startswith("asset:"):
            return [reference]
        name, _, file = reference.removeprefix("asset:").partition("/")
        if name not in self.assets or file not in self.assets[name].files:
            raise InputError(f"{reference}: no such file among the assets")
        return [f"<resources>/assets/{name}/{file}"]

    def folder(self, name: str) -> tuple[str, list[str]]:
        """Where an asset, or a folder, lies, and the names of its files."""
        if name in self.assets:
            return f"<resources>/assets/{name}", list(self.assets[name].files)
        return name, sorted(path.name for path in Path(name).iterdir())

    def place(self, path: str) -> str:
        """A folder of recordings, sought in the working folder and then beside the Snakefile (for examples/)."""
        beside = self.checkout / path
        return str(beside) if beside.exists() and not Path(path).exists() else path

    def is_encoder(self, name: str) -> bool:
        """Whether an asset is made into the transformers folder of a speech encoder."""
        return name in self.assets and self.assets[name].convert in ENCODER_CONVERTERS.names()

    def model(self, name: str | None) -> list[str]:
        """The files of a transformers model: a converted asset, a plain asset or a folder; none for None."""
        if name is None:
            return []
        if name not in self.assets:
            return [f"{name}/{file}" for file in MODEL_FILES]
        if self.assets[name].convert:
            files = ENCODER_FILES if self.is_encoder(name) else MODEL_FILES
            return [f"<resources>/models/{name}/{file}" for file in files]
        return self.asset(name)

    def text_model(self, name: str) -> list[str]:
        """The files of a transformers model of text, its tokenizer among them."""
        files = self.model(name)
        if name in self.assets and self.assets[name].convert is None:
            return files
        return [*files, f"{Path(files[0]).parent}/tokenizer.json"]

    # What a recipe names and is not there: told at once, before any job

    def files_in(self, name: str) -> list[str]:
        """The names of the files of an asset or a folder; none where there is neither."""
        return self.folder(name)[1] if name in self.assets or Path(name).is_dir() else []

    def asset_problems(self, key: str, name: str) -> Iterator[str]:
        """What is wrong with the value of a key that names an asset."""
        if name not in self.assets:
            yield f"{key}: {name!r} is not an asset ({', '.join(self.assets)})"

    def model_problems(self, key: str, name: str) -> Iterator[str]:
        """What is wrong with the value of a key that names an asset, or a folder with a transformers model."""
        if name not in self.assets and not Path(name, MODEL_FILES[0]).is_file():
            yield (
                f"{key}: {name!r} is neither an asset ({', '.join(self.assets)}) nor a folder with a transformers "
                f"model ({Path(name, MODEL_FILES[0])} is missing)"
            )

    def file_problems(self, key: str, reference: str) -> Iterator[str]:
        """What is wrong with the value of a key that names a file, as asset:NAME/FILE or as a path."""
        try:
            found = reference.startswith("asset:") or Path(reference).is_file()
            self.file(reference)
        except InputError as error:
            yield f"{key}: {error}"
            return
        if not found:
            yield f"{key}: {reference}: no such file"

    def folder_problems(self, key: str, name: str) -> Iterator[str]:
        """What is wrong with the value of a key that names an asset or a folder."""
        if name not in self.assets and not Path(name).is_dir():
            yield f"{key}: {name!r} is neither an asset ({', '.join(self.assets)}) nor a folder"
