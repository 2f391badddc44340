"""Models, texts and folders that a recipe names: all that is missing is reported at once, before any job."""

from __future__ import annotations

from slamflow.errors import InputError
from slamflow.jobs.sources import Sources
from slamflow.recipe.recipe import Recipe


def check_files(recipe: Recipe, sources: Sources) -> None:
    """Raises InputError for models and files that are neither assets nor something on disk, one line each."""
    problems: list[str] = []
    for corpus_name, corpus in recipe.corpora.items():
        problems += corpus.file_problems(f"corpora.{corpus_name}", sources)
    for encoder_name, encoder in recipe.encoders.items():
        problems += encoder.file_problems(f"encoders.{encoder_name}", sources)
    for model_name, model in recipe.models.items():
        if getattr(model, "init", None) not in recipe.models:
            problems += model.file_problems(f"models.{model_name}", sources)
    for vocoder_name, vocoder in recipe.vocoders.items():
        problems += vocoder.file_problems(f"vocoders.{vocoder_name}", sources)
    if recipe.evaluation.text_model is not None:
        problems += sources.model_problems("evaluation.text_model", recipe.evaluation.text_model)
    if recipe.generation is not None:
        problems += sources.asset_problems("generation.recognizer", recipe.generation.recognizer)
        problems += sources.model_problems("generation.text_model", recipe.generation.text_model)
    if problems:
        raise InputError("in the configuration:\n" + "\n".join(problems))
