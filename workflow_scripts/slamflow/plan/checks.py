"""Models, texts and folders that a recipe names: all that is not there is told at once, before any job."""

from __future__ import annotations

from pathlib import Path

from slamflow.corpora.listing import has_audio
from slamflow.errors import InputError
from slamflow.plan.sources import MODEL_FILES, Sources
from slamflow.settings.audio import AudioArchive, AudioFolder, LibriSpeech
from slamflow.settings.corpora import HibariSpeech, MinimalPairCorpus, Speech, StoryCorpus, StoryText
from slamflow.settings.recipe import Recipe
from slamflow.settings.spoken_pairs import SpokenPairCorpus
from slamflow.settings.vocoder import HifiGanVocoder


def check_files(recipe: Recipe, sources: Sources) -> None:
    """Raises InputError for models and texts that are neither assets nor something on disk, one line each."""
    problems = _corpus_problems(recipe, sources)
    for name, encoder in recipe.encoders.items():
        if encoder.kind == "textless":
            problems += _checkpoint_problem(f"encoders.{name}.model", str(encoder.model), sources)
        elif encoder.model is not None:
            problems += _model_problem(f"encoders.{name}.model", encoder.model, sources)
    for name, model in recipe.models.items():
        if model.init != "scratch" and model.init not in recipe.models:
            problems += _model_problem(f"models.{name}.init", str(model.init), sources)
    for name, vocoder in recipe.vocoders.items():
        problems += _recognizer_problem(f"vocoders.{name}.recognizer", vocoder.recognizer, sources)
        if isinstance(vocoder, HifiGanVocoder):
            problems += _vocoder_problem(f"vocoders.{name}.model", vocoder.model, sources)
    if recipe.generation is not None:
        problems += _recognizer_problem("generation.recognizer", recipe.generation.recognizer, sources)
        problems += _model_problem("generation.text_model", recipe.generation.text_model, sources)
    if problems:
        raise InputError("in the configuration:\n" + "\n".join(problems))


def _corpus_problems(recipe: Recipe, sources: Sources) -> list[str]:
    problems = []
    for name, corpus in recipe.corpora.items():
        if isinstance(corpus, StoryCorpus):
            problems += _text_problem(f"corpora.{name}.text.path", corpus.text, sources)
            problems += _voice_problems(f"corpora.{name}.speech", corpus.speech, sources)
        elif isinstance(corpus, MinimalPairCorpus):
            problems += _voice_problems(f"corpora.{name}.speech", corpus.speech, sources)
        elif isinstance(corpus, LibriSpeech | AudioFolder):
            problems += _folder_problems(f"corpora.{name}", corpus, sources)
        elif isinstance(corpus, SpokenPairCorpus):
            problems += _pair_folder_problem(f"corpora.{name}.path", corpus.path, sources)
        elif isinstance(corpus, AudioArchive):
            for split, settings in corpus.splits.items():
                for archive in settings.archives:
                    problems += _file_problem(f"corpora.{name}.splits.{split}.archives", archive, sources)
    return problems


def _model_problem(key: str, value: str, sources: Sources) -> list[str]:
    if value in sources.assets or Path(value, MODEL_FILES[0]).is_file():
        return []
    return [
        f"{key}: {value!r} is neither an asset ({', '.join(sources.assets)}) nor a folder with a transformers "
        f"model ({Path(value, MODEL_FILES[0])} is missing)"
    ]


def _recognizer_problem(key: str, value: str, sources: Sources) -> list[str]:
    if value in sources.assets:
        return []
    return [f"{key}: {value!r} is not an asset ({', '.join(sources.assets)})"]


def _checkpoint_problem(key: str, value: str, sources: Sources) -> list[str]:
    files = _files_in(value, sources)
    if sum(file.endswith(".pt") for file in files) == 1:
        return []
    return [f"{key}: {value!r} is neither an asset nor a folder with one .pt file of fairseq"]


def _vocoder_problem(key: str, value: str, sources: Sources) -> list[str]:
    files = _files_in(value, sources)
    if any(file.endswith(".pt") for file in files) and any(file.endswith(".json") for file in files):
        return []
    return [f"{key}: {value!r} is neither an asset nor a folder with a .pt and a .json file of a vocoder"]


def _files_in(value: str, sources: Sources) -> list[str]:
    """The names of the files of an asset or a folder; none where there is neither."""
    return sources.folder(value)[1] if value in sources.assets or Path(value).is_dir() else []


def _file_problem(key: str, reference: str | None, sources: Sources) -> list[str]:
    """What is wrong with a file that a setting names as asset:NAME/FILE or as a path."""
    if reference is None:
        return []
    try:
        found = reference.startswith("asset:") or Path(reference).is_file()
        sources.file(reference)
    except InputError as error:
        return [f"{key}: {error}"]
    return [] if found else [f"{key}: {reference}: no such file"]


def _text_problem(key: str, text: StoryText, sources: Sources) -> list[str]:
    """What is wrong with the text of a story corpus; Parquet files may be a folder, or all files of an asset."""
    if text.source == "parquet" and text.path is not None:
        asset = text.path.removeprefix("asset:")
        if Path(text.path).is_dir() or (text.path.startswith("asset:") and asset in sources.assets):
            return []
    return _file_problem(key, text.path, sources)


def _pair_folder_problem(key: str, path: str | None, sources: Sources) -> list[str]:
    """What is missing of a folder of spoken pairs."""
    if path is None or has_audio(Path(sources.place(path))):
        return []
    return [
        f"{key}: {path}: no such folder, or no audio in it. Where a benchmark comes from, and how to unpack it, "
        "is in docs/audio.md under Spoken benchmarks"
    ]


def _folder_problems(key: str, corpus: LibriSpeech | AudioFolder, sources: Sources) -> list[str]:
    """What is missing of a folder of recordings."""
    root = Path(sources.place(corpus.path))
    if not root.is_dir():
        return [f"{key}.path: {corpus.path}: no such folder"]
    problems = [
        f"{key}.splits.{split}.folders: {corpus.path} has no folder {folder}"
        for split, settings in corpus.splits.items()
        for folder in settings.folders
        if not (root / folder).is_dir()
    ]
    return problems or ([] if has_audio(root) else [f"{key}.path: {corpus.path}: no audio in it"])


def _voice_problems(key: str, speech: Speech, sources: Sources) -> list[str]:
    """What is missing of the model and the voices of a speech engine."""
    if isinstance(speech, HibariSpeech):
        return []
    if speech.model not in sources.assets and not Path(speech.model).is_dir():
        return [f"{key}.model: {speech.model!r} is neither an asset ({', '.join(sources.assets)}) nor a folder"]
    present = sources.folder(speech.model)[1]
    missing = [file for file in sources.voices(speech) if file not in present]
    return [f"{key}.voices: {speech.model} has no {file}" for file in missing]
