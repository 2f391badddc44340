"""The page of a run: one HTML file with everything inside. Whatever comes from data is escaped by the template.

results.py, curves.py, listening.py, units.py, stages.py and licences.py give the parts of the page, page.html.j2 has
its words and its form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from slamflow import files
from slamflow.recipe.report import RenderReport
from slamflow.report import curves, licences, listening, results
from slamflow.report.stages import stage_picture
from slamflow.report.table import duration, interval, number, points
from slamflow.report.templates import load_template
from slamflow.report.units import unit_statistics

TEMPLATE = "page.html.j2"
SPLITS = ("test", "dev")
SOUND_BYTES = 2_200_000
"""Text of players and pictures that a page holds at most; what would go beyond is left out."""


@dataclass(frozen=True)
class Sources:
    """The files that a page is made of."""

    summary: Path
    continuations: Sequence[Path] = ()
    metrics: Mapping[str, Path] = field(default_factory=dict)
    """By model."""
    transcripts: Mapping[str, Path] = field(default_factory=dict)
    """Of continuations, by model."""
    examples: Mapping[str, Path] = field(default_factory=dict)
    """Of vocoders, by encoder."""


def render(settings: RenderReport, sources: Sources) -> str:
    """The page. Parts whose files are not there are left out."""
    summary = files.read_json(sources.summary)
    recipe = settings.recipe
    budget = listening.Budget(SOUND_BYTES)
    vocoder = summary["vocoder"]
    used = licences.sources(recipe, settings.assets, is_vocoder_scored=vocoder is not None)
    generation = results.generation_rows(summary, recipe)
    template = load_template(TEMPLATE, points=points, interval=interval, number=number, duration=duration)
    return template.render(
        summary=summary,
        recipe=recipe,
        config=yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100),
        headline=results.headline(summary, recipe),
        scores={split: results.score_tables(summary, recipe, split) for split in SPLITS},
        aggregations={split: results.aggregation_tables(summary, recipe, split) for split in SPLITS},
        phenomena={split: results.phenomenon_tables(summary, recipe, split) for split in SPLITS},
        differences={split: results.difference_table(summary, recipe, split) for split in SPLITS},
        generation=generation,
        generation_prompts=results.generation_prompts(generation),
        curves=curves.loss_curves(recipe, sources.metrics),
        preference_curve=curves.preference_curve(recipe, sources.metrics),
        units=unit_statistics(summary["units"]),
        stories=listening.stories(recipe, sources.continuations, sources.transcripts, budget),
        resyntheses=listening.resyntheses(vocoder["encoder"] if vocoder else None, sources.examples, budget),
        prompt_seconds=recipe.generation.sampling.prompt_seconds if recipe.generation else None,
        stage_picture=stage_picture(summary["stages"]),
        total_seconds=sum(stage["seconds"] for stage in summary["stages"]),
        used=used,
        consequences=licences.consequences(used),
    )
