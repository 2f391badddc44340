"""From a recipe to the files and settings of each job: all that the rules ask while Snakemake parses them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from slamflow.code_digest import code_digest
from slamflow.commands import describe_errors
from slamflow.corpora.listing import has_audio, pairs_digest
from slamflow.corpora.listing import items_digest as recordings_digest
from slamflow.errors import InputError
from slamflow.files import sha256_file
from slamflow.settings.assets import Asset
from slamflow.settings.audio import (
    AudioArchive,
    AudioFolder,
    HubAudio,
    LibriSpeech,
    RecordedCorpus,
    collect_audio_settings,
)
from slamflow.settings.base import Settings
from slamflow.settings.corpora import (
    HibariSpeech,
    KokoroSpeech,
    MinimalPairCorpus,
    PiperSpeech,
    Speech,
    StoryCorpus,
    StorySplit,
    StoryText,
    SynthesizeStories,
    WriteMinimalPairs,
    WriteStories,
)
from slamflow.settings.evaluation import BuildBenchmark, CompareVoices
from slamflow.settings.generation import ContinueSpeech, Generation
from slamflow.settings.packing import PackTokens
from slamflow.settings.preferences import BuildPreferences
from slamflow.settings.recipe import BASELINE_CONTINUATIONS, RESERVED_MODELS, Recipe
from slamflow.settings.report import RenderReport, UsedAsset, asset_uses
from slamflow.settings.spoken_pairs import CollectPairs, SpokenPairCorpus
from slamflow.settings.training import OBSERVATION, Model, Preference
from slamflow.settings.units import ExtractUnits
from slamflow.settings.vocoder import HifiGanVocoder, ScoreVocoder, TrainVocoder, Vocoder
from slamflow.sharding import SHARD_PATTERN, parse_shard, shard_names
from slamflow.stories.sources import items_digest
from slamflow.strict_yaml import load_yaml

SPECIAL_TOKENS = 2  # PAD, and BOS which is EOS too
MODEL_FILES = ("config.json", "model.safetensors")
ENCODER_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
VOCODER_FILES = ("vocoder.safetensors", "vocoder.json")
SHARDS_AHEAD = 32
"""How many shards of streamed speech may wait for their encoder: downloads are often faster."""
ROW_FILES = ("data-00000-of-00001.arrow", "dataset_info.json", "state.json", "manifest.json")


def load_recipe(config: dict[str, Any], config_files: list[str]) -> Recipe:
    """Check a merged configuration. Raises InputError with one line a problem, each naming its key."""
    for path in config_files:
        load_yaml(path)
    try:
        return Recipe.model_validate(config)
    except ValidationError as error:
        named = ", ".join(config_files) or "--config"
        raise InputError(f"in the configuration ({named}):\n{describe_errors(error)}") from None


def load_assets(path: Path, further: dict[str, Asset]) -> dict[str, Asset]:
    """The table of assets, and what a recipe adds to it."""
    try:
        shipped = TypeAdapter(dict[str, Asset]).validate_python(load_yaml(path))
    except ValidationError as error:
        raise InputError(f"in {path}:\n{describe_errors(error)}") from None
    return {**shipped, **further}


def one_of(names: Any) -> str:
    """A wildcard constraint that admits these names only."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def one_of_parts(references: list[str]) -> str:
    """A constraint for the wildcard {corpus} of a path with {corpus}/{split}/ that admits these corpus/split only."""
    return rf"(?=(?:{one_of(references)})/)[^/]+" if references else "(?!)"


class Plan:
    """The jobs of one recipe. Paths begin with <results> or <resources>, which Snakemake fills in."""

    def __init__(self, recipe: Recipe, assets: dict[str, Asset], scripts: Path) -> None:
        self.recipe = recipe
        self.assets = assets
        self.scripts = scripts
        # For a job that computes with models; Snakemake cuts the threads to what the machine has.
        self.threads, self.gpus = (1, 0) if recipe.compute == "core" else (16, 1)
        self.check_files()
        self._streamed = frozenset(self.streamed())
        self._trained_on = frozenset(self.trained_on())

    def check_files(self) -> None:
        """Raises InputError for a model or text that is neither an asset nor something on disk."""
        problems = []
        for name, corpus in self.recipe.corpora.items():
            if isinstance(corpus, StoryCorpus):
                problems += self._text_problem(f"corpora.{name}.text.path", corpus.text)
                problems += self._voice_problems(f"corpora.{name}.speech", corpus.speech)
            elif isinstance(corpus, MinimalPairCorpus):
                problems += self._voice_problems(f"corpora.{name}.speech", corpus.speech)
            elif isinstance(corpus, LibriSpeech | AudioFolder):
                problems += self._folder_problems(f"corpora.{name}", corpus)
            elif isinstance(corpus, SpokenPairCorpus):
                problems += self._pair_folder_problem(f"corpora.{name}.path", corpus.path)
            elif isinstance(corpus, AudioArchive):
                for split, settings in corpus.splits.items():
                    for archive in settings.archives:
                        problems += self._file_problem(f"corpora.{name}.splits.{split}.archives", archive)
        for name, encoder in self.recipe.encoders.items():
            if encoder.kind == "textless":
                problems += self._checkpoint_problem(f"encoders.{name}.model", str(encoder.model))
            elif encoder.model is not None:
                problems += self._asset_problem(f"encoders.{name}.model", encoder.model)
        for name, model in self.recipe.models.items():
            if model.init != "scratch" and model.init not in self.recipe.models:
                problems += self._asset_problem(f"models.{name}.init", str(model.init))
        for name, vocoder in self.recipe.vocoders.items():
            problems += self._recognizer_problem(f"vocoders.{name}.recognizer", vocoder.recognizer)
            if isinstance(vocoder, HifiGanVocoder):
                problems += self._vocoder_problem(f"vocoders.{name}.model", vocoder.model)
        if self.recipe.generation is not None:
            problems += self._recognizer_problem("generation.recognizer", self.recipe.generation.recognizer)
            problems += self._asset_problem("generation.text_model", self.recipe.generation.text_model)
        if problems:
            raise InputError("in the configuration:\n" + "\n".join(problems))

    def _asset_problem(self, key: str, value: str) -> list[str]:
        if value in self.assets or Path(value, MODEL_FILES[0]).is_file():
            return []
        return [
            f"{key}: {value!r} is neither an asset ({', '.join(self.assets)}) nor a folder with a transformers "
            f"model ({Path(value, MODEL_FILES[0])} is missing)"
        ]

    def _recognizer_problem(self, key: str, value: str) -> list[str]:
        if value in self.assets:
            return []
        return [f"{key}: {value!r} is not an asset ({', '.join(self.assets)})"]

    def _checkpoint_problem(self, key: str, value: str) -> list[str]:
        files = self._folder_of(value)[1] if value in self.assets or Path(value).is_dir() else []
        if sum(file.endswith(".pt") for file in files) == 1:
            return []
        return [f"{key}: {value!r} is neither an asset nor a folder with one .pt file of fairseq"]

    def _vocoder_problem(self, key: str, value: str) -> list[str]:
        files = self._folder_of(value)[1] if value in self.assets or Path(value).is_dir() else []
        if any(file.endswith(".pt") for file in files) and any(file.endswith(".json") for file in files):
            return []
        return [f"{key}: {value!r} is neither an asset nor a folder with a .pt and a .json file of a vocoder"]

    def _file_problem(self, key: str, reference: str | None) -> list[str]:
        """What is wrong with a file that a setting names as asset:NAME/FILE or as a path."""
        if reference is None:
            return []
        try:
            found = reference.startswith("asset:") or Path(reference).is_file()
            self.given_file(reference)
        except InputError as error:
            return [f"{key}: {error}"]
        return [] if found else [f"{key}: {reference}: no such file"]

    def _text_problem(self, key: str, text: StoryText) -> list[str]:
        """What is wrong with the text of a story corpus; Parquet files may be a folder, or all files of an asset."""
        if text.source == "parquet" and text.path is not None:
            asset = text.path.removeprefix("asset:")
            if Path(text.path).is_dir() or (text.path.startswith("asset:") and asset in self.assets):
                return []
        return self._file_problem(key, text.path)

    def _pair_folder_problem(self, key: str, path: str | None) -> list[str]:
        """What is missing of a folder of spoken pairs."""
        if path is None or has_audio(Path(self.place(path))):
            return []
        return [
            f"{key}: {path}: no such folder, or no audio in it. Where a benchmark comes from, and how to unpack it, "
            "is in docs/audio.md under Spoken benchmarks"
        ]

    def _folder_problems(self, key: str, corpus: LibriSpeech | AudioFolder) -> list[str]:
        """What is missing of a folder of recordings."""
        root = Path(self.place(corpus.path))
        if not root.is_dir():
            return [f"{key}.path: {corpus.path}: no such folder"]
        problems = [
            f"{key}.splits.{split}.folders: {corpus.path} has no folder {folder}"
            for split, settings in corpus.splits.items()
            for folder in settings.folders
            if not (root / folder).is_dir()
        ]
        return problems or ([] if has_audio(root) else [f"{key}.path: {corpus.path}: no audio in it"])

    def _voice_problems(self, key: str, speech: Speech) -> list[str]:
        """What is missing of the model and the voices of a speech engine."""
        if isinstance(speech, HibariSpeech):
            return []
        if speech.model not in self.assets and not Path(speech.model).is_dir():
            return [f"{key}.model: {speech.model!r} is neither an asset ({', '.join(self.assets)}) nor a folder"]
        present = self._folder_of(speech.model)[1]
        missing = [file for file in self._voice_names(speech) if file not in present]
        return [f"{key}.voices: {speech.model} has no {file}" for file in missing]

    # Commands

    def command(self, name: str) -> Callable[..., str]:
        """A params function with the command line that runs workflow_scripts/<name>.py.

        It asks for `output`, so that Snakemake takes it for derived: the place of a checkout is no reason to rerun.
        """
        path = self.scripts / f"{name}.py"
        try:
            shown = path.relative_to(Path.cwd())
        except ValueError:
            shown = path
        text = f"python {shlex.quote(str(shown))}"
        return lambda wildcards, output: text  # noqa: ARG005

    def torchrun(self, name: str) -> Callable[..., str]:
        """Like `command`, for a command that torchrun launches."""
        plain = self.command(name)
        return lambda wildcards, output: plain(wildcards, output).replace(
            "python ", "torchrun --standalone --nproc_per_node=1 ", 1
        )

    def code(self, name: str) -> str:
        """Digest of the code of workflow_scripts/<name>.py."""
        return code_digest(self.scripts / f"{name}.py")

    def shell_patterns(self, files: list[str]) -> str:
        """Shards as patterns for the shell, such as `folder/????-of-0024.parquet`; other files by their names."""
        patterns = []
        for file in map(str, files):
            folder, _, name = file.rpartition("/")
            index, joined, rest = name.partition("-of-")
            is_shard = joined and re.fullmatch(SHARD_PATTERN, name.partition(".")[0])
            shown = f"{'?' * len(index)}{joined}{rest}" if is_shard else shlex.quote(name)
            patterns.append(f"{shlex.quote(folder)}/{shown}" if folder else shown)
        return " ".join(dict.fromkeys(patterns))

    # Assets

    def asset_file(self, wildcards: Any) -> str:
        """Settings of one fetch_asset job."""
        return _json(self.assets[wildcards.asset].files[wildcards.file])

    def asset_content(self, wildcards: Any) -> str:
        """What pins an asset's file: its checksum, or where it comes from (a hub revision, or an address)."""
        file = self.assets[wildcards.asset].files[wildcards.file]
        published = file.checksum if file.checksum != "unpublished" else None
        return file.sha256 or published or " ".join(file.sources)

    def asset_files(self, name: str) -> list[str]:
        """All files of an asset."""
        return [f"<resources>/assets/{name}/{file}" for file in self.assets[name].files]

    def converted_assets(self) -> list[str]:
        """Assets that convert_asset makes into transformers folders: models with a tokenizer."""
        return [name for name, asset in self.assets.items() if asset.convert and not self._is_encoder(name)]

    def converted_encoders(self) -> list[str]:
        """Assets that convert_encoder makes into transformers folders."""
        return [name for name in self.assets if self._is_encoder(name)]

    def _is_encoder(self, name: str) -> bool:
        return name in self.assets and self.assets[name].convert == "fairseq_hubert"

    def model_folder_files(self, name: str | None) -> list[str]:
        """The files of a transformers model: a converted asset, a plain asset or a folder; none for None."""
        if name is None:
            return []
        if name not in self.assets:
            return [f"{name}/{file}" for file in MODEL_FILES]
        if self.assets[name].convert:
            files = ENCODER_FILES if self._is_encoder(name) else MODEL_FILES
            return [f"<resources>/models/{name}/{file}" for file in files]
        return self.asset_files(name)

    def given_file(self, reference: str | None) -> list[str]:
        """A file that a setting names as asset:NAME/FILE or as a path; none for None."""
        if reference is None:
            return []
        if not reference.startswith("asset:"):
            return [reference]
        name, _, file = reference.removeprefix("asset:").partition("/")
        if name not in self.assets or file not in self.assets[name].files:
            raise InputError(f"{reference}: no such file among the assets")
        return [f"<resources>/assets/{name}/{file}"]

    # Corpora

    def shards(self, reference: str) -> list[str]:
        """The shard names of corpus/split."""
        corpus, split = reference.split("/")
        return shard_names(self.recipe.corpora[corpus].splits[split].shards)  # type: ignore[index]

    def text(self, reference: str) -> list[str]:
        """The story files of corpus/split."""
        return [f"<results>/text/{reference}/{shard}.jsonl" for shard in self.shards(reference)]

    def audio(self, references: list[str]) -> list[str]:
        """The speech shards of several corpus/split."""
        return [
            f"<results>/audio/{reference}/{shard}.parquet"
            for reference in references
            for shard in self.shards(reference)
        ]

    def units(self, encoder: str, references: list[str], suffix: str = ".parquet") -> list[str]:
        """The unit shards (or their manifests) of several corpus/split."""
        return [
            f"<results>/units/{encoder}/{reference}/{shard}{suffix}"
            for reference in references
            for shard in self.shards(reference)
        ]

    def write_stories(self, wildcards: Any) -> str:
        """Settings of one write_stories job."""
        return _json(self._write_stories(wildcards))

    def _write_stories(self, wildcards: Any) -> WriteStories:
        corpus = self._story_corpus(wildcards.corpus)
        return WriteStories(
            text=corpus.text,
            corpus=wildcards.corpus,
            split=wildcards.split,
            stories=corpus.splits[wildcards.split].stories,
            shard=wildcards.shard,
        )

    def story_source(self, wildcards: Any) -> list[str]:
        """The text file, or files, of a story corpus, if it has any."""
        path = self._story_corpus(wildcards.corpus).text.path
        if path is None:
            return []
        if path.startswith("asset:") and "/" not in path:
            return self.asset_files(path.removeprefix("asset:"))
        if Path(path).is_dir():
            return sorted(str(file) for file in Path(path).glob("*.parquet"))
        return self.given_file(path)

    def story_items(self, wildcards: Any) -> str:
        """What one shard of stories depends on: the text settings and a digest of the stories in it.

        So a new story in the user's file reruns its shard alone. A downloaded file is pinned already, so its stories
        are not read here.
        """
        settings = self._write_stories(wildcards)
        path = settings.text.path
        text = settings.text.model_dump_json()
        if path is not None and path.startswith("asset:"):
            return f"{text} {settings.stories}"
        if path is not None and settings.text.source != "file":
            # Read by the job alone; another size is another text.
            sizes = [Path(file).stat().st_size for file in self.story_source(wildcards)]
            return f"{text} {settings.stories} {sizes}"
        return f"{text} {items_digest(settings, Path(path) if path else None)}"

    def synthesize_stories(self, wildcards: Any) -> str:
        """Settings of one synthesize_stories job."""
        speech = self._spoken_corpus(wildcards.corpus).speech
        return _json(SynthesizeStories(speech=speech, corpus=wildcards.corpus, split=wildcards.split))

    def story_corpora(self) -> list[str]:
        """The corpora of stories."""
        return [name for name, corpus in self.recipe.corpora.items() if isinstance(corpus, StoryCorpus)]

    def _story_corpus(self, name: str) -> StoryCorpus:
        corpus = self.recipe.corpora[name]
        assert isinstance(corpus, StoryCorpus)
        return corpus

    def pair_corpora(self) -> list[str]:
        """The corpora of minimal pairs."""
        return [name for name, corpus in self.recipe.corpora.items() if isinstance(corpus, MinimalPairCorpus)]

    def _spoken_corpus(self, name: str) -> StoryCorpus | MinimalPairCorpus:
        corpus = self.recipe.corpora[name]
        assert isinstance(corpus, StoryCorpus | MinimalPairCorpus)
        return corpus

    def write_minimal_pairs(self, wildcards: Any) -> str:
        """Settings of one write_minimal_pairs job."""
        corpus = self.recipe.corpora[wildcards.corpus]
        assert isinstance(corpus, MinimalPairCorpus)
        return _json(
            WriteMinimalPairs(
                task=corpus.task,
                split=wildcards.split,
                pairs=corpus.splits[wildcards.split].pairs,
                seed=corpus.seed,
                shard=wildcards.shard,
            )
        )

    def voice_files(self, wildcards: Any) -> list[str]:
        """The model of a corpus' speech engine and the voices that it uses; none for hibari, which brings them."""
        speech = self._spoken_corpus(wildcards.corpus).speech
        if isinstance(speech, HibariSpeech):
            return []
        root = self._folder_of(speech.model)[0]
        return [f"{root}/{file}" for file in self._voice_names(speech)]

    def _voice_names(self, speech: KokoroSpeech | PiperSpeech) -> list[str]:
        if isinstance(speech, PiperSpeech):
            return [f"{voice}{suffix}" for voice in speech.voices for suffix in (".onnx", ".onnx.json")]
        model = [file for file in self._folder_of(speech.model)[1] if file.startswith("model.onnx")]
        return [*(model or ["model.onnx"]), *(f"{voice}.bin" for voice in speech.voices)]

    def _folder_of(self, model: str) -> tuple[str, list[str]]:
        """Where an asset, or a folder, lies, and the names of its files."""
        if model in self.assets:
            return f"<resources>/assets/{model}", list(self.assets[model].files)
        return model, sorted(path.name for path in Path(model).iterdir())

    # Recorded speech

    def recorded_corpora(self) -> list[str]:
        """The corpora of recordings."""
        return [name for name, corpus in self.recipe.corpora.items() if isinstance(corpus, RecordedCorpus)]

    def _recorded_corpus(self, name: str) -> RecordedCorpus:
        corpus = self.recipe.corpora[name]
        assert isinstance(corpus, RecordedCorpus)
        return corpus

    def streamed(self) -> list[str]:
        """The corpus/split of recordings that are dropped once they are encoded."""
        return self.recipe.streamed()

    def is_streamed(self, wildcards: Any) -> bool:
        """Whether a corpus/split is dropped once it is encoded."""
        return f"{wildcards.corpus}/{wildcards.split}" in self._streamed

    def streamed_speech(self, wildcards: Any) -> str:
        """What the speech of a shard is made from, if it is not kept: then Snakemake cannot tell that this changed."""
        if not self.is_streamed(wildcards):
            return ""
        return f"{self.collect_audio(wildcards)} {self.code('collect_audio')}"

    def speech_shard(self, wildcards: Any) -> str:
        """The speech of one shard, for one encoder."""
        place = f"streams/{wildcards.encoder}" if self.is_streamed(wildcards) else "audio"
        return f"<results>/{place}/{wildcards.corpus}/{wildcards.split}/{wildcards.shard}.parquet"

    def shard_before(self, wildcards: Any) -> list[str]:
        """The units of an earlier shard, for which a streamed one waits: so that few are on disk at a time."""
        reference = f"{wildcards.corpus}/{wildcards.split}"
        index, _ = parse_shard(wildcards.shard)
        if index < SHARDS_AHEAD:
            return []
        return [f"<results>/units/{wildcards.encoder}/{reference}/{self.shards(reference)[index - SHARDS_AHEAD]}.json"]

    def kept(self) -> list[str]:
        """The corpus/split of recordings that stay on disk."""
        streamed = set(self.streamed())
        references = [
            f"{name}/{split}" for name in self.recorded_corpora() for split in self.recipe.corpora[name].splits
        ]
        return [reference for reference in references if reference not in streamed]

    def unpinned(self) -> dict[str, str]:
        """The datasets of the hub without a fixed commit: owner/name by owner--name."""
        repos = [
            str(corpus.repo)
            for corpus in self.recipe.corpora.values()
            if isinstance(corpus, HubAudio | SpokenPairCorpus) and corpus.revision == "unpinned"
        ]
        return {repo.replace("/", "--"): repo for repo in repos}

    def commit_file(self, wildcards: Any) -> list[str]:
        """The file that says which commit of the hub an unpinned corpus was first taken at; none for a pinned one."""
        corpus = self.recipe.corpora[wildcards.corpus]
        if not isinstance(corpus, HubAudio | SpokenPairCorpus) or corpus.revision != "unpinned":
            return []
        return [f"<resources>/revisions/{str(corpus.repo).replace('/', '--')}.json"]

    def spoken_pair_corpora(self) -> list[str]:
        """The corpora of pairs that were published as speech."""
        return [name for name, corpus in self.recipe.corpora.items() if isinstance(corpus, SpokenPairCorpus)]

    def _spoken_pairs(self, name: str) -> SpokenPairCorpus:
        corpus = self.recipe.corpora[name]
        assert isinstance(corpus, SpokenPairCorpus)
        return corpus

    def collect_pairs(self, wildcards: Any) -> str:
        """Settings of one collect_pairs job."""
        corpus = self._spoken_pairs(wildcards.corpus)
        splits = {wildcards.split: corpus.splits[wildcards.split]}
        # Where a folder lies does not concern the job, and neither does another split.
        update = {"splits": splits, "path": "" if corpus.path is not None else None}
        pairs = corpus.model_copy(update=update)
        return _json(CollectPairs(corpus=wildcards.corpus, split=wildcards.split, shard=wildcards.shard, pairs=pairs))

    def pair_recordings(self, wildcards: Any) -> str:
        """A digest of the names and sizes of the files of a folder of spoken pairs; empty for the hub."""
        path = self._spoken_pairs(wildcards.corpus).path
        return "" if path is None else pairs_digest(Path(self.place(path)))

    def pair_source(self, wildcards: Any, output: Any) -> str:  # noqa: ARG002
        """The flag that says where a folder of spoken pairs lies; see `audio_source`."""
        path = self._spoken_pairs(wildcards.corpus).path
        return "" if path is None else f"--source {shlex.quote(self.place(path))}"

    def place(self, path: str) -> str:
        """A folder of recordings, sought in the working folder and then beside the Snakefile (for examples/)."""
        beside = self.scripts.parent / path
        return str(beside) if beside.exists() and not Path(path).exists() else path

    def collect_audio(self, wildcards: Any) -> str:
        """Settings of one collect_audio job."""
        corpus = self._recorded_corpus(wildcards.corpus)
        return _json(collect_audio_settings(wildcards.corpus, corpus, wildcards.split, wildcards.shard))

    def audio_archives(self, wildcards: Any) -> list[str]:
        """The archives that a split is read from; none for a folder or a dataset of the hub."""
        corpus = self._recorded_corpus(wildcards.corpus)
        if not isinstance(corpus, AudioArchive):
            return []
        return [path for archive in corpus.splits[wildcards.split].archives for path in self.given_file(archive)]

    def audio_items(self, wildcards: Any) -> str:
        """A digest of the names and sizes of the files in one shard, so that a new file reruns its shard alone."""
        corpus = self._recorded_corpus(wildcards.corpus)
        if isinstance(corpus, LibriSpeech | AudioFolder):
            corpus = corpus.model_copy(update={"path": self.place(corpus.path)})
        return recordings_digest(corpus, wildcards.split, wildcards.shard)

    def audio_source(self, wildcards: Any, input: Any, output: Any) -> str:  # noqa: ARG002
        """The flag that says where recordings lie. Asking for `output` keeps the place from being a reason to rerun."""
        corpus = self._recorded_corpus(wildcards.corpus)
        folder = [self.place(corpus.path)] if isinstance(corpus, LibriSpeech | AudioFolder) else []
        places = [*folder, *input.get("archives", [])]
        return f"--source {shlex.join(places)}" if places else ""

    # Units

    def encoder(self, wildcards: Any) -> str:
        """Settings of one fit_units job."""
        return _json(self.recipe.encoders[wildcards.encoder])

    def encoder_model(self, wildcards: Any) -> list[str]:
        """The files of an encoder's model."""
        return self._encoder_files(wildcards.encoder)

    def _encoder_files(self, name: str) -> list[str]:
        """The files of an encoder's model; textlesslib's are those that were downloaded."""
        encoder = self.recipe.encoders[name]
        if encoder.kind != "textless":
            return self.model_folder_files(encoder.model)
        assert encoder.model is not None
        root, files = self._folder_of(encoder.model)
        return [f"{root}/{file}" for file in files if file.endswith(".pt")]

    def fitting_audio(self, wildcards: Any) -> list[str]:
        """The speech that a codebook is fitted on; none for a given one."""
        fit = self.recipe.encoders[wildcards.encoder].fit
        return self.audio(fit.corpora) if fit else []

    def given_codebook(self, wildcards: Any) -> list[str]:
        """The codebook that is given instead of fitted."""
        return self.given_file(self.recipe.encoders[wildcards.encoder].codebook)

    def extract_units(self, wildcards: Any) -> str:
        """Settings of one extract_units job; how the codebook came to be is the codebook's own matter."""
        encoder = self.recipe.encoders[wildcards.encoder].model_copy(update={"fit": None, "codebook": None})
        return _json(ExtractUnits(encoder=encoder, corpus=wildcards.corpus, split=wildcards.split))

    def voice_distances(self) -> list[str]:
        """How far voices are apart, for each corpus in `evaluation.voices` and each encoder in use."""
        encoders = dict(self.used_units())
        return [
            f"<results>/units/{encoder}/{corpus}/voices.json"
            for corpus in self.recipe.evaluation.voices
            for encoder in encoders
        ]

    def compared_units(self, wildcards: Any) -> list[str]:
        """The unit shards of all spoken parts of a corpus."""
        splits = self.recipe.corpora[wildcards.corpus].splits
        references = [
            f"{wildcards.corpus}/{name}"
            for name, split in splits.items()
            if not isinstance(split, StorySplit) or split.spoken
        ]
        return self.units(wildcards.encoder, references)

    def compare_voices(self, wildcards: Any) -> str:
        """Settings of one compare_voices job."""
        return _json(CompareVoices(encoder=wildcards.encoder, corpus=wildcards.corpus))

    def vocabulary(self, dataset: str) -> int:
        """Number of tokens of a dataset: its units or bytes, and the special tokens."""
        name = self.recipe.datasets[dataset].encoder
        if name == "text":
            return 256 + SPECIAL_TOKENS
        return self.recipe.encoders[name].clusters + SPECIAL_TOKENS

    # Rows

    def parts(self, dataset: str) -> dict[str, list[str]]:
        """The parts of a dataset and the corpora in each: train, and one per validation corpus."""
        settings = self.recipe.datasets[dataset]
        validation = {f"validation.{reference.replace('/', '.')}": [reference] for reference in settings.validation}
        return {"train": settings.trained_on, **validation}

    def packing_inputs(self, wildcards: Any) -> list[str]:
        """The unit shards, or story files, that one part of a dataset is packed from."""
        encoder = self.recipe.datasets[wildcards.dataset].encoder
        references = self.parts(wildcards.dataset)[wildcards.part]
        if encoder == "text":
            return [path for reference in references for path in self.text(reference)]
        return self.units(encoder, references)

    def pack_tokens(self, wildcards: Any) -> str:
        """Settings of one pack_tokens job."""
        dataset = self.recipe.datasets[wildcards.dataset]
        return _json(
            PackTokens(
                kind="text" if dataset.encoder == "text" else "units",
                context=dataset.context,
                vocabulary=self.vocabulary(wildcards.dataset),
                seed=dataset.seed,
                weights=dataset.weights if wildcards.part == "train" else None,
            )
        )

    def rows(self, dataset: str, part: str) -> list[str]:
        """The files of one part of a dataset."""
        return [f"<results>/rows/{dataset}/{part}/{file}" for file in ROW_FILES]

    # Models

    def model_settings(self, wildcards: Any) -> str:
        """Settings of one pretrain or dpo job."""
        return _json(self.recipe.models[wildcards.model])

    def model_experiment(self, wildcards: Any) -> str:
        """Those settings of a pretrain or dpo job that are a reason to train again."""
        return self.recipe.models[wildcards.model].model_dump_json(exclude=set(OBSERVATION))

    def train_rows(self, wildcards: Any) -> list[str]:
        """The rows that a model is trained on."""
        return self.rows(self._data(wildcards), "train")

    def validation_rows(self, wildcards: Any) -> list[str]:
        """The rows of all validation corpora of a model."""
        data = self._data(wildcards)
        return [path for part in self.parts(data) if part != "train" for path in self.rows(data, part)]

    def codebook_manifest(self, wildcards: Any) -> list[str]:
        """The manifest of the codebook whose units a model speaks; none for a text model."""
        encoder = self.recipe.datasets[self._data(wildcards)].encoder
        return [] if encoder == "text" else [f"<results>/units/{encoder}/codebook.json"]

    def parent_model(self, wildcards: Any) -> list[str]:
        """The files of the model that a model starts from; none from scratch."""
        init = self.recipe.models[wildcards.model].init
        if init == "scratch":
            return []
        if init in self.recipe.models:
            return [f"<results>/models/{self.recipe.recipe}/{init}/{file}" for file in MODEL_FILES]
        return self.model_folder_files(init)

    def _data(self, wildcards: Any) -> str:
        model = self.recipe.models[wildcards.model]
        assert isinstance(model, Model)
        return str(model.data)

    def pretrained_models(self) -> list[str]:
        """The models that are trained on rows."""
        return [name for name, model in self.recipe.models.items() if isinstance(model, Model)]

    def trained_on_rows(self, model: str) -> str:
        """The model itself, or the one trained on rows that a model of preferences comes from."""
        settings = self.recipe.models[model]
        return model if isinstance(settings, Model) else self.trained_on_rows(settings.init)

    def machine_plan(self, wildcards: Any) -> list[str]:
        """What is measured before a model that trains for so many hours; none for one of so many tokens.

        A model of preferences takes the plan of the model that it comes from, if that has one.
        """
        name = self.trained_on_rows(wildcards.model)
        return [] if self.recipe.models[name].hours is None else [self._machine_plan(name)]

    def _machine_plan(self, model: str) -> str:
        return f"<results>/plans/{self.recipe.recipe}/{model}.json"

    def all_machine_plans(self) -> list[str]:
        """What can be measured of this device."""
        return [self._machine_plan(model) for model in self.pretrained_models()]

    # Preferences

    def preference_models(self) -> list[str]:
        """The models that are trained on preference pairs."""
        return [name for name, model in self.recipe.models.items() if isinstance(model, Preference)]

    def preference_pairs(self, wildcards: Any) -> str:
        """The pairs that a model is trained on."""
        model = self.recipe.models[wildcards.model]
        assert isinstance(model, Preference)
        return f"<results>/preferences/{self.recipe.preferences[model.pairs].encoder}/{model.pairs}.parquet"

    def _preference_split(self, name: str) -> str:
        return f"{self.recipe.preferences[name].corpus}/preference"

    def preference_text(self, wildcards: Any) -> list[str]:
        """The stories that pairs are built from."""
        return self.text(self._preference_split(wildcards.preferences))

    def preference_units(self, wildcards: Any) -> list[str]:
        """The unit shards that pairs are built from."""
        return self.units(wildcards.encoder, [self._preference_split(wildcards.preferences)])

    def preference_settings(self, wildcards: Any) -> str:
        """Settings of one build_preferences job."""
        settings = self.recipe.preferences[wildcards.preferences]
        return _json(BuildPreferences(wrong=settings.wrong, max_auto_bleu=settings.max_auto_bleu, seed=settings.seed))

    # Targets

    def trained_on(self) -> list[str]:
        """The corpus/split that pre-training and codebooks wait for."""
        datasets, encoders = self.recipe.datasets.values(), self.recipe.encoders.values()
        references = [reference for dataset in datasets for reference in dataset.trained_on + dataset.validation]
        return references + [reference for encoder in encoders if encoder.fit for reference in encoder.fit.corpora]

    def priority(self, wildcards: Any) -> int:
        """How early a part of a corpus is wanted: first what is pre-trained on, then preferences, then the rest.

        So the long trainings begin early, and what only scores need is made beside them.
        """
        if f"{wildcards.corpus}/{wildcards.split}" in self._trained_on:
            return 2
        return 1 if wildcards.split == "preference" else 0

    def used_units(self) -> list[tuple[str, str]]:
        """All (encoder, corpus/split) that datasets, benchmarks, preferences and vocoders need, each once."""
        used = [
            (dataset.encoder, reference)
            for dataset in self.recipe.datasets.values()
            if dataset.encoder != "text"
            for reference in dataset.trained_on + dataset.validation
        ]
        used += [
            (benchmark.encoder, f"{benchmark.corpus}/{part}")
            for name, benchmark in self.recipe.benchmarks.items()
            for part in self.benchmark_parts(name)
        ]
        used += [(pairs.encoder, f"{pairs.corpus}/preference") for pairs in self.recipe.preferences.values()]
        used += [
            (encoder, reference)
            for encoder, vocoder in self.recipe.vocoders.items()
            for reference in [*(vocoder.corpora if isinstance(vocoder, Vocoder) else []), *vocoder.held_out]
        ]
        return list(dict.fromkeys(used))

    def all_units(self, suffix: str = ".parquet") -> list[str]:
        """The unit shards (or manifests) of the whole recipe."""
        return [path for encoder, reference in self.used_units() for path in self.units(encoder, [reference], suffix)]

    def all_rows(self) -> list[str]:
        """The token rows of the whole recipe."""
        return [path for name in self.recipe.datasets for part in self.parts(name) for path in self.rows(name, part)]

    def all_models(self, file: str = MODEL_FILES[1]) -> list[str]:
        """One file of each model of the recipe."""
        return [f"<results>/models/{self.recipe.recipe}/{model}/{file}" for model in self.recipe.models]

    def codebook_manifests(self) -> list[str]:
        """The manifests of all codebooks in use."""
        return [f"<results>/units/{encoder}/codebook.json" for encoder in dict(self.used_units())]

    def summary_settings(self) -> str:
        """The whole recipe, for its summary."""
        return self.recipe.model_dump_json()

    # The page

    def report_code(self) -> str:
        """Digest of the code that renders the page, and of its template."""
        template = self.scripts / "slamflow/report/page.html.j2"
        return f"{self.code('render_report')} {template.name}:{sha256_file(template)[:12]}"

    def report_settings(self) -> str:
        """The whole recipe, and the terms of the assets that it uses."""
        assets = {
            name: UsedAsset(licence=self.assets[name].licence, citation=self.assets[name].citation, keys=keys)
            for name, keys in asset_uses(self.recipe, self.assets).items()
        }
        return _json(RenderReport(recipe=self.recipe, assets=assets))

    # Evaluation

    def evaluation(self, _wildcards: Any) -> str:
        """How scores are computed; whose voices are compared does not concern them."""
        return _json(self.recipe.evaluation.model_copy(update={"voices": []}))

    def scored_model(self, wildcards: Any) -> list[str]:
        """The files of a model that is scored."""
        return [f"<results>/models/{self.recipe.recipe}/{wildcards.model}/{file}" for file in MODEL_FILES]

    def speech_models(self) -> list[str]:
        """Models of units, which benchmarks can score."""
        return [name for name in self.recipe.models if self.recipe.encoder_of(name) != "text"]

    def scored(self) -> list[tuple[str, str, str]]:
        """All (model, benchmark, part) with a score, trivial baselines among the models."""
        return [
            (model, benchmark, part)
            for benchmark, settings in self.recipe.benchmarks.items()
            for model in [*(settings.models or self.models_of(settings.encoder)), *RESERVED_MODELS]
            for part in self.benchmark_parts(benchmark)
        ]

    def benchmark_parts(self, benchmark: str) -> list[str]:
        """The parts of a benchmark: test, and dev where its corpus has one."""
        splits = self.recipe.corpora[self.recipe.benchmarks[benchmark].corpus].splits
        return [part for part in ("dev", "test") if part in splits]

    def models_of(self, encoder: str) -> list[str]:
        """The models that speak the units of an encoder."""
        return [name for name in self.recipe.models if self.recipe.encoder_of(name) == encoder]

    def score_files(self, suffix: str) -> list[str]:
        """The files of all scores: suffix .json or .pairs.parquet."""
        root = f"<results>/scores/{self.recipe.recipe}"
        return [f"{root}/{model}/{benchmark}.{part}{suffix}" for model, benchmark, part in self.scored()]

    def benchmark_settings(self, wildcards: Any) -> str:
        """Settings of one build_benchmark job."""
        benchmark = self.recipe.benchmarks[wildcards.benchmark]
        return _json(
            BuildBenchmark(
                benchmark=wildcards.benchmark,
                kind=benchmark.kind,
                part=wildcards.part,
                seed=benchmark.seed,
                published=isinstance(self.recipe.corpora[benchmark.corpus], SpokenPairCorpus),
            )
        )

    def benchmark_text(self, wildcards: Any) -> list[str]:
        """The stories that one part of a benchmark is built from."""
        return self.text(f"{self.recipe.benchmarks[wildcards.benchmark].corpus}/{wildcards.part}")

    def benchmark_units(self, wildcards: Any) -> list[str]:
        """The unit shards that one part of a benchmark is built from."""
        benchmark = self.recipe.benchmarks[wildcards.benchmark]
        return self.units(wildcards.encoder, [f"{benchmark.corpus}/{wildcards.part}"])

    def benchmark_items(self, wildcards: Any) -> dict[str, str]:
        """The items of one part of a benchmark, and their manifest."""
        encoder = self.recipe.benchmarks[wildcards.benchmark].encoder
        stem = f"<results>/evaluation/{encoder}/{wildcards.benchmark}/{wildcards.part}"
        return {"minimal_pairs": f"{stem}.parquet", "manifest": f"{stem}.json"}

    def baseline_units(self, wildcards: Any) -> list[str]:
        """The units that trivial baselines are fitted on: those that the first model of the encoder is trained on."""
        encoder = self.recipe.benchmarks[wildcards.benchmark].encoder
        dataset = next(d for d in self.recipe.datasets.values() if d.encoder == encoder)
        return self.units(encoder, dataset.trained_on)

    # Vocoders

    def trained_vocoders(self) -> list[str]:
        """The encoders whose vocoder is trained."""
        return [name for name, vocoder in self.recipe.vocoders.items() if isinstance(vocoder, Vocoder)]

    def published_vocoders(self) -> list[str]:
        """The encoders whose vocoder was published."""
        return [name for name, vocoder in self.recipe.vocoders.items() if isinstance(vocoder, HifiGanVocoder)]

    def published_vocoder(self, wildcards: Any) -> list[str]:
        """The files of a published vocoder."""
        root, files = self._folder_of(self._published_vocoder(wildcards.encoder).model)
        return [f"{root}/{file}" for file in files if file.endswith((".pt", ".json"))]

    def vocoder_engine(self, wildcards: Any) -> str:
        """What computes a published vocoder."""
        return self._published_vocoder(wildcards.encoder).engine

    def _published_vocoder(self, encoder: str) -> HifiGanVocoder:
        vocoder = self.recipe.vocoders[encoder]
        assert isinstance(vocoder, HifiGanVocoder)
        return vocoder

    def _trained_vocoder(self, encoder: str) -> Vocoder:
        vocoder = self.recipe.vocoders[encoder]
        assert isinstance(vocoder, Vocoder)
        return vocoder

    def vocoder_audio(self, wildcards: Any) -> list[str]:
        """The speech that a vocoder is trained on."""
        return self.audio(self._trained_vocoder(wildcards.encoder).corpora)

    def vocoder_units(self, wildcards: Any) -> list[str]:
        """The units of that speech."""
        return self.units(wildcards.encoder, self._trained_vocoder(wildcards.encoder).corpora)

    def train_vocoder(self, wildcards: Any) -> str:
        """Settings of one train_vocoder job."""
        encoder = self.recipe.encoders[wildcards.encoder]
        return _json(
            TrainVocoder(
                training=self._trained_vocoder(wildcards.encoder).training,
                units=encoder.clusters,
                frame_rate_hz=encoder.frame_rate_hz,
            )
        )

    def vocoder_files(self, wildcards: Any) -> list[str]:
        """The files of an encoder's vocoder."""
        return self._vocoder(wildcards.encoder)

    def _vocoder(self, encoder: str) -> list[str]:
        return [f"<results>/vocoders/{encoder}/{file}" for file in VOCODER_FILES]

    def held_out_audio(self, wildcards: Any) -> list[str]:
        """The speech that a vocoder is judged on."""
        return self.audio(self.recipe.vocoders[wildcards.encoder].held_out)

    def held_out_units(self, wildcards: Any) -> list[str]:
        """The units of that speech."""
        return self.units(wildcards.encoder, self.recipe.vocoders[wildcards.encoder].held_out)

    def vocoder_recognizer(self, wildcards: Any) -> list[str]:
        """The files of the Whisper that judges a vocoder."""
        return self.asset_files(self.recipe.vocoders[wildcards.encoder].recognizer)

    def score_vocoder(self, wildcards: Any) -> str:
        """Settings of one score_vocoder job."""
        return _json(ScoreVocoder(utterances=self.recipe.vocoders[wildcards.encoder].judged))

    def vocoder_scores(self) -> list[str]:
        """The scores of all vocoders that are judged."""
        return [f"<results>/vocoders/{encoder}/score.json" for encoder in self._judged_vocoders()]

    def vocoder_examples(self) -> list[str]:
        """Pairs of original and resynthesis of all vocoders."""
        return [f"<results>/vocoders/{encoder}/examples.parquet" for encoder in self._judged_vocoders()]

    def _judged_vocoders(self) -> list[str]:
        return [name for name, vocoder in self.recipe.vocoders.items() if vocoder.held_out]

    # Continuations

    def _generation(self) -> Generation:
        assert self.recipe.generation is not None, "no model of a recipe without `generation` continues anything"
        return self.recipe.generation

    def generation_models(self) -> list[str]:
        """What continues prompts: the truth, its units in disorder, and models; nothing in a recipe without it."""
        settings = self.recipe.generation
        if settings is None:
            return []
        return [*BASELINE_CONTINUATIONS, *(settings.models or self.models_of(settings.encoder))]

    def generating_model(self, wildcards: Any) -> list[str]:
        """The files of a model that continues; none for the truth and its units in disorder."""
        return [] if wildcards.model in BASELINE_CONTINUATIONS else self.scored_model(wildcards)

    def prompt_audio(self, _wildcards: Any) -> list[str]:
        """The speech that prompts are cut from."""
        return self.audio([f"{self._generation().corpus}/test"])

    def generation_codebook(self, _wildcards: Any) -> str:
        """The codebook of the units that prompts are encoded in."""
        return f"<results>/units/{self._generation().encoder}/codebook.safetensors"

    def generation_encoder_model(self, _wildcards: Any) -> list[str]:
        """The files of the model that encodes prompts."""
        return self._encoder_files(self._generation().encoder)

    def generation_vocoder(self, _wildcards: Any) -> list[str]:
        """The vocoder that speaks continuations."""
        return self._vocoder(self._generation().encoder)

    def continue_speech(self, _wildcards: Any) -> str:
        """Settings of one continue_speech job; how the codebook came to be is the codebook's own matter."""
        settings = self._generation()
        encoder = self.recipe.encoders[settings.encoder].model_copy(update={"fit": None, "codebook": None})
        return _json(ContinueSpeech(encoder=encoder, sampling=settings.sampling))

    def generation_recognizer(self, _wildcards: Any) -> list[str]:
        """The files of the Whisper that transcribes continuations."""
        return self.asset_files(self._generation().recognizer)

    def judging_text_model(self, _wildcards: Any) -> list[str]:
        """The files of the text model that judges transcripts, its tokenizer among them."""
        name = self._generation().text_model
        files = self.model_folder_files(name)
        if name in self.assets and self.assets[name].convert is None:
            return files
        return [*files, f"{Path(files[0]).parent}/tokenizer.json"]

    def _continued(self, root: str, file: str) -> list[str]:
        return [f"<results>/{root}/{self.recipe.recipe}/{model}/{file}" for model in self.generation_models()]

    def continuations(self) -> list[str]:
        """The continuations, as units and speech, of all that continue."""
        return self._continued("generation", "continuations.parquet")

    def generation_scores(self) -> list[str]:
        """The scores of all continuations."""
        return self._continued("scores", "generation.json")

    def generation_transcripts(self) -> list[str]:
        """The transcripts of all continuations."""
        return self._continued("scores", "generation.transcripts.jsonl")


def _json(settings: Settings) -> str:
    """Settings as the one JSON argument of a command; keys at their defaults stay, so that the log shows them."""
    return settings.model_dump_json()
