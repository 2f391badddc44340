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
        return [name for name in self.recipe.models if self._is_comparable(self.recipe.encoder_of(name))]

    def _is_comparable(self, encoder: str | None) -> bool:
        return encoder in self.recipe.encoders and self.recipe.encoders[encoder].is_comparable

    def speech(self) -> list[str]:
        """Their speech.json."""
        return [f"<results>/models/{self.recipe.recipe}/{name}/speech.json" for name in self.models()]

    def render_leaderboard(self, _wildcards: Any) -> str:
        """Settings of the render_leaderboard job."""
        recipe = self.recipe
        columns = self.columns()
        corpora = {columns[name]: recipe.benchmarks[name].corpus for name in columns}
        protocol = [self._items(column, corpus) for column, corpus in corpora.items()]
        if recipe.generation is not None:
            protocol.append(_continued(recipe.generation))
        return canonical(
            RenderLeaderboard(
                recipe=recipe.recipe,
                rehearsal=recipe.rehearsal is not None,
                benchmarks=columns,
                encoders={name: recipe.benchmarks[name].encoder for name in columns},
                models={name: "public weights" if name in recipe.systems else "trained here" for name in self.models()},
                references={name: str(remark(name)) for name in (*recipe.evaluation.rows(), *REFERENCE_CONTINUATIONS)},
                protocol=protocol,
            )
        )

    def columns(self) -> dict[str, str]:
        """The column of each benchmark whose items were published, in units that were learned without text.

        It is the kind for the first corpus of that kind, if the benchmark is called so (`sblimp`, `sblimp_hubert`), and
        the benchmark's own name for others, such as the stories in many voices.
        """
        first: dict[str, str] = {}
        columns = {}
        for name, benchmark in self.recipe.benchmarks.items():
            is_published = self.recipe.corpora[benchmark.corpus].made_by == "collect_pairs"
            if is_published and self._is_comparable(benchmark.encoder):
                is_plain = name.startswith(benchmark.kind) and benchmark.corpus == first.setdefault(
                    benchmark.kind, benchmark.corpus
                )
                columns[name] = benchmark.kind if is_plain else name
        return columns

    def _items(self, benchmark: str, corpus: str) -> str:
        """Where the items of a benchmark are from, as a sentence."""
        settings = self.recipe.corpora[corpus].model_dump(mode="json")
        if settings.get("repo") is None:
            place = "archives" if settings.get("archives") else "a folder"
            return f"{benchmark}: the published recordings, from {place}."
        pinned = "commit not pinned" if settings["revision"] == "unpinned" else f"commit {settings['revision'][:10]}"
        return f"{benchmark}: the published recordings, {settings['repo']} ({pinned})."


def _continued(settings: Generation) -> str:
    """How prompts are continued and transcripts scored, as a sentence."""
    sampling = settings.sampling
    return (
        f"Continuations: {sampling.prompts:,} prompts of {settings.corpus}, their first {sampling.prompt_seconds:g} s; "
        f"temperature {sampling.temperature:g}, top-k {sampling.top_k}, repetition penalty "
        f"{sampling.repetition_penalty:g}, at most {sampling.max_new_tokens} tokens; "
        f"recognizer {settings.recognizer}, text model {settings.text_model}."
    )
