"""The one table of the workflow's rules: how their jobs are named, what these leave on disk, and who reads that."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """One rule of the workflow."""

    job: str
    """The name of a job, by its wildcards. Its log is logs/{rule}/{job}.log, its costs job_costs/{rule}/{job}.tsv."""
    writes: tuple[str, ...]
    """The files of a job as patterns below {results} or {resources}, {job} being its name; none if they cannot be told
    from it."""
    read_by: tuple[str, ...] = ()
    """The rules that read these files, but for what would close a circle: train reads its own models and calibrate
    reads them too, stream_audio waits for earlier units."""


RULES = {
    "fetch_asset": Rule(
        "{asset}/{file}",
        ("{resources}/assets/{job}",),
        (
            *("convert_asset", "convert_encoder", "convert_vocoder", "fit_units", "extract_units", "write_stories"),
            *("synthesize_stories", "collect_audio", "stream_audio", "calibrate", "train", "continue_speech"),
            *("package_model", "import_model", "score_vocoder", "score_continuations"),
            "score_baselines",
        ),
    ),
    "convert_asset": Rule(
        "{asset}",
        ("{resources}/models/{job}/*",),
        (
            *("fit_units", "extract_units", "calibrate", "train", "package_model", "continue_speech"),
            *("score_continuations", "score_baselines"),
        ),
    ),
    "convert_encoder": Rule(
        "{asset}",
        ("{resources}/models/{job}/*",),
        ("fit_units", "extract_units", "package_model", "continue_speech"),
    ),
    "pin_revision": Rule(
        "{repository}", ("{resources}/revisions/{job}.json",), ("collect_audio", "stream_audio", "collect_pairs")
    ),
    "write_stories": Rule(
        "{corpus}/{split}/{shard}",
        ("{results}/text/{job}.*",),
        ("synthesize_stories", "pack_tokens", "build_benchmark", "build_preferences", "score_baselines"),
    ),
    "write_minimal_pairs": Rule(
        "{corpus}/{split}/{shard}",
        ("{results}/text/{job}.*",),
        ("synthesize_stories", "build_benchmark", "score_baselines"),
    ),
    "collect_audio": Rule(
        "{corpus}/{split}/{shard}",
        ("{results}/audio/{job}.*",),
        ("fit_units", "extract_units", "train_vocoder", "score_vocoder", "continue_speech"),
    ),
    "stream_audio": Rule("{encoder}/{corpus}/{split}/{shard}", ("{results}/streams/{job}.*",), ("extract_units",)),
    "collect_pairs": Rule(
        "{corpus}/{split}/{shard}",
        ("{results}/audio/{job}.*",),
        ("extract_units", "build_benchmark", "build_preferences", "score_baselines", "continue_speech"),
    ),
    "synthesize_stories": Rule(
        "{corpus}/{split}/{shard}",
        ("{results}/audio/{job}.*",),
        ("fit_units", "extract_units", "train_vocoder", "score_vocoder", "continue_speech", "score_baselines"),
    ),
    "fit_units": Rule(
        "{encoder}",
        ("{results}/units/{job}/codebook.*",),
        ("extract_units", "train", "import_model", "package_model", "summarize", "continue_speech"),
    ),
    "extract_units": Rule(
        "{encoder}/{corpus}/{split}/{shard}",
        ("{results}/units/{job}.*",),
        (
            *("pack_tokens", "build_benchmark", "build_preferences", "train_vocoder", "score_vocoder"),
            *("score_baselines", "compare_voices", "summarize"),
        ),
    ),
    "compare_voices": Rule("{encoder}/{corpus}", ("{results}/units/{job}/voices.json",), ("summarize",)),
    "train_vocoder": Rule(
        "{encoder}", ("{results}/vocoders/{job}/vocoder.*",), ("score_vocoder", "package_model", "continue_speech")
    ),
    "convert_vocoder": Rule(
        "{encoder}", ("{results}/vocoders/{job}/vocoder.*",), ("score_vocoder", "package_model", "continue_speech")
    ),
    "pack_tokens": Rule("{dataset}/{part}", ("{results}/rows/{job}/*",), ("calibrate", "train")),
    "calibrate": Rule("{recipe}/{model}", ("{results}/calibration/{job}.json",), ("train",)),
    "build_preferences": Rule("{encoder}/{preferences}", ("{results}/preferences/{job}.*",), ("train",)),
    "train": Rule(
        "{recipe}/{model}",
        (
            "{results}/models/{job}/model.safetensors",
            "{results}/models/{job}/[!p]*.json*",
        ),
        ("package_model", "score_benchmarks", "continue_speech", "summarize", "render_report", "render_leaderboard"),
    ),
    "import_model": Rule(
        "{recipe}/{model}",
        ("{results}/models/{job}/model.safetensors", "{results}/models/{job}/*.json"),
        ("train", "score_benchmarks", "continue_speech", "render_leaderboard"),
    ),
    "package_model": Rule(
        "{recipe}/{model}",
        (
            "{results}/models/{job}/codebook.safetensors",
            "{results}/models/{job}/package.json",
            "{results}/models/{job}/encoder/*",
            "{results}/models/{job}/vocoder/*",
        ),
    ),
    "build_benchmark": Rule(
        "{encoder}/{benchmark}/{split}", ("{results}/evaluation/{job}.*",), ("score_benchmarks", "score_baselines")
    ),
    "score_vocoder": Rule("{encoder}", ("{results}/vocoders/{job}/[!v]*",), ("summarize", "render_report")),
    "score_benchmarks": Rule(
        "{recipe}/{model}", ("{results}/scores/{job}/*.dev.*", "{results}/scores/{job}/*.test.*"), ("summarize",)
    ),
    "score_baselines": Rule("{recipe}/{benchmark}.{split}", (), ("summarize",)),
    "continue_speech": Rule(
        "{recipe}/{model}", ("{results}/generation/{job}/*",), ("score_continuations", "render_report")
    ),
    "score_continuations": Rule(
        "{recipe}/{model}",
        ("{results}/scores/{job}/generation.*",),
        ("judge_continuations", "summarize", "render_report"),
    ),
    "judge_continuations": Rule("{recipe}/{model}", ("{results}/scores/{job}/judge.*",), ("summarize",)),
    "summarize": Rule("{recipe}", ("{results}/summary/{job}.json",), ("render_report", "render_leaderboard")),
    "render_report": Rule("{recipe}", ("{results}/report/{job}.html",)),
    "render_leaderboard": Rule("{recipe}", ("{results}/leaderboard/{job}.*",)),
}
"""All rules that have files, in the order of the stages. Tests compare it with Snakemake's rules and their graph."""
