"""Files from outside: assets as they were published or converted, and files and folders of the user's."""

from __future__ import annotations

from pathlib import Path

from slamflow.errors import InputError
from slamflow.settings.assets import Asset
from slamflow.settings.corpora import KokoroSpeech, PiperSpeech
from slamflow.settings.units import Encoder

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
        return name in self.assets and self.assets[name].convert == "fairseq_hubert"

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

    def encoder(self, encoder: Encoder) -> list[str]:
        """The files of an encoder's model; textlesslib's are those that were downloaded."""
        if encoder.kind != "textless":
            return self.model(encoder.model)
        assert encoder.model is not None
        root, files = self.folder(encoder.model)
        return [f"{root}/{file}" for file in files if file.endswith(".pt")]

    def voices(self, speech: KokoroSpeech | PiperSpeech) -> list[str]:
        """The names of the files that a speech engine needs of its folder: its model and the voices that it uses."""
        if isinstance(speech, PiperSpeech):
            return [f"{voice}{suffix}" for voice in speech.voices for suffix in (".onnx", ".onnx.json")]
        model = [file for file in self.folder(speech.model)[1] if file.startswith("model.onnx")]
        return [*(model or ["model.onnx"]), *(f"{voice}.bin" for voice in speech.voices)]
