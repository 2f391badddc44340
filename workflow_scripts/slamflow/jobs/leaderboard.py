"""Published figures beside measured ones: what rules/leaderboard.smk asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slamflow.jobs.report import code_and_files
from slamflow.recipe.base import canonical
from slamflow.recipe.generation import Generation
from slamflow.recipe.recipe import REFERENCE_CONTINUATIONS, Recipe
from slamflow.recipe.report import RenderLeaderboard
from slamflow.report.results import remark


class LeaderboardJobs:
    """The leaderboard of a recipe."""

    def __init__(self, recipe: Recipe, scripts: Path) -> None:
        self.recipe = recipe
        self.scripts = scripts

    def all(self) -> list[str]:
        """The leaderboard, in a recipe that scores published models; nothing in others, which can ask for it."""
        return self.files() if self.recipe.systems else []

    def files(self) -> list[str]:
        """The leaderboard of the recipe."""
        return [f"<results>/leaderboard/{self.recipe.recipe}.{suffix}" for suffix in ("json", "html")]

    def code(self) -> str:
        """Digest of the code, of the published figures, and of the page's template."""
        return code_and_files(
            self.scripts / "render_leaderboard.py", "published.yaml", "leaderboard.html.j2", "style.css.j2"
        )

    def models(self) -> list[str]:
        """The models whose scores may stand beside published ones: of units that were learned without text."""
        names = []
        for name in self.recipe.models:
            encoder = self.recipe.encoders.get(str(self.recipe.encoder_of(name)))
            if encoder is not None and encoder.is_comparable:
                names.append(name)
        return names

    def speech(self) -> list[str]:
        """Their speech.json."""
        return [f"<results>/models/{self.recipe.recipe}/{name}/speech.json" for name in self.models()]

    def render_leaderboard(self, _wildcards: Any) -> str:
        """Settings of the render_leaderboard job."""
        recipe = self.recipe
        corpora = {name: benchmark.corpus for name, benchmark in recipe.benchmarks.items()}
        published = {
            name: corpus for name, corpus in corpora.items() if recipe.corpora[corpus].made_by == "collect_pairs"
        }
        protocol = [self._items(name, corpus) for name, corpus in published.items()]
        if recipe.generation is not None:
            protocol.append(_continued(recipe.generation))
        return canonical(
            RenderLeaderboard(
                recipe=recipe.recipe,
                rehearsal=recipe.rehearsal is not None,
                benchmarks=list(published),
                models={name: "public weights" if name in recipe.systems else "trained here" for name in self.models()},
                references={
                    name: str(remark(name)) for name in (*recipe.evaluation.baselines, *REFERENCE_CONTINUATIONS)
                },
                protocol=protocol,
            )
        )

    def _items(self, benchmark: str, corpus: str) -> str:
        """Where the items of a benchmark are from, as a sentence."""
        settings = self.recipe.corpora[corpus].model_dump(mode="json")
        if settings.get("repo") is None:
            return f"{benchmark}: the published recordings, from a folder."
        pinned = "commit not pinned" if settings["revision"] == "unpinned" else f"commit {settings['revision'][:10]}"
        return f"{benchmark}: the published recordings, {settings['repo']} ({pinned})."


def _continued(settings: Generation) -> str:
    """How prompts are continued and transcripts scored, as a sentence."""
    sampling = settings.sampling
    return (
        f"Continuations: {sampling.prompts:,} prompts of {settings.corpus}, their first {sampling.prompt_seconds:g} s; "
        f"temperature {sampling.temperature:g}, top-k {sampling.top_k}, at most {sampling.max_new_tokens} tokens; "
        f"recognizer {settings.recognizer}, text model {settings.text_model}."
    )
