"""Figures of continuations as the tables have them, also those that earlier versions wrote."""

from __future__ import annotations

from typing import Any

KEYS = (
    *("n", "tokens", "gen_ppl", "gen_ppl_ci95", "gen_ppl_without_loops", "gen_ppl_without_loops_ci95"),
    *("auto_bleu", "auto_bleu_ci95", "empty_transcripts", "wordless_transcripts", "looped_transcripts", "prompts"),
)
"""What a score of continuations says."""
JUDGE_KEYS = ("judge", "asked", "n", "mean", "ci95", "unparsable", "failed")
"""What a judge's score says."""

DIFFERENT_PROMPTS = (
    "The models did not continue the same prompts: their figures are not comparable. Delete them and run again."
)


def current(record: dict[str, Any]) -> dict[str, Any]:
    """A score, or an entry of a summary, with today's keys.

    In earlier versions `gen_ppl` left loops out, and auto-BLEU transcripts without words. The former is
    `gen_ppl_without_loops` today; what is now `gen_ppl`, as published, cannot be told from it and is null. The latter
    can be: a transcript without words counts 0.
    """
    record = {"judge": None, **record}  # earlier versions had none
    if "gen_ppl_with_loops" not in record:
        return record
    now = {key: value for key, value in record.items() if key != "gen_ppl_with_loops"}
    now["gen_ppl_without_loops"], now["gen_ppl"] = record["gen_ppl"], None
    now["gen_ppl_without_loops_ci95"], now["gen_ppl_ci95"] = record["gen_ppl_ci95"], None
    told = record["n"] - record["empty_transcripts"]
    now["auto_bleu"] = (record["auto_bleu"] or 0.0) * told / record["n"] if record["n"] else None
    now.update(auto_bleu_ci95=None, wordless_transcripts=None, prompts=None)
    return now


def prompt_lists(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lists of prompts that the records are of, each once. More than one: the figures are not of the same task."""
    lists: dict[str, dict[str, Any]] = {}
    for record in records:
        if record["prompts"]:
            lists.setdefault(record["prompts"]["sha256"], record["prompts"])
    return list(lists.values())


def about_prompts(prompts: dict[str, Any]) -> str:
    """A list of prompts in a line."""
    order = "by name" if prompts["order"] == "name" else "in the order of a hash"
    return (
        f"the first {prompts['n']} of {prompts['corpus']} {order}, {prompts['prompt_seconds']:g} s, "
        f"list sha256 {prompts['sha256'][:12]}"
    )
