"""The published figures of speech language models: published.yaml, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from slamflow.commands import describe_errors
from slamflow.errors import InputError
from slamflow.recipe.base import Settings
from slamflow.strict_yaml import load_yaml

TABLE = Path(__file__).with_name("published.yaml")

SECTIONS = {
    "speech": "Speech-only pre-training",
    "text": "With text or preference optimisation",
    "slam": "Slam",
    "later": "Since Slam",
}
"""The blocks of the table, in its order."""

Percent = Annotated[float, Field(gt=0, lt=100)]


class Figures(Settings):
    """What was published of a model, as printed; null where nothing was."""

    sblimp: Percent | None = None
    """Accuracy on sBLIMP, %."""
    sstorycloze: Percent | None = None
    """Accuracy on spoken StoryCloze, %."""
    tstorycloze: Percent | None = None
    """Accuracy on topic StoryCloze, %."""
    swuggy: Percent | None = None
    """Accuracy on sWUGGY, %, all words."""
    gen_ppl: Annotated[float, Field(gt=1)] | None = None
    """GenPPL."""
    auto_bleu: Percent | None = None
    """Auto-BLEU-2, times 100."""
    gpt_score: Annotated[float, Field(ge=1, le=5)] | None = None
    """GPTScore: the mean of a language model's grades, 1 to 5."""


class PublishedRow(Settings):
    """A row of the published table."""

    name: str
    """The model, as the table has it."""
    section: Literal["speech", "text", "slam", "later"]
    """The block of the table."""
    gpus: str | None = None
    """What it was trained on."""
    parameters: str
    """How many, as printed."""
    tokens: str | None = None
    """Tokens seen in training, as printed."""
    figures: Figures
    """The published figures."""
    sblimp_aggregation: Literal["voice_pairs", "pairs", "phenomena", "unknown"] = "unknown"
    """Which mean over its pairs the sBLIMP figure is (`aggregations` of evaluation/scores.py)."""
    source: str
    """Paper and table."""
    weights: str | None = None
    """Where the public weights are."""
    reason: str | None = None
    """Why the row is published only."""
    note: str | None = None
    """What else to know before comparing."""

    @model_validator(mode="after")
    def weights_or_reason(self) -> PublishedRow:
        """A row can be measured, or says why not."""
        if self.weights is None and self.reason is None:
            raise ValueError("neither weights nor a reason why there are none")
        return self


def published_table(path: Path = TABLE) -> dict[str, PublishedRow]:
    """The rows by the name of the model that measures them. Raises InputError that names the file and the key."""
    try:
        rows = TypeAdapter(dict[str, PublishedRow]).validate_python(load_yaml(path))
    except ValidationError as error:
        raise InputError(f"in {path}:\n{describe_errors(error)}") from None
    names = [row.name for row in rows.values()]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise InputError(f"in {path}: two rows are called {doubled[0]!r}")
    return rows
