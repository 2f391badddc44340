"""Have a language model grade spoken continuations from 1 to 5 (GPTScore), through an OpenAI-compatible endpoint.

Reads the transcripts that score_continuations wrote with prompt and continuation apart. The token is taken from the
environment variable JUDGE_API_KEY. Writes the mean grade with a 95 % interval (JSON), and every answer (JSONL). Answers
are kept in --state as they come: a killed job goes on where it stopped, and what failed is asked again next time.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.errors import InputError
from slamflow.generation.judge import judge_transcripts, question, summarize
from slamflow.recipe.generation import JudgeContinuations


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--transcripts", type=Path, required=True, help="what score_continuations wrote, JSONL")
    parser.add_argument("--output", type=Path, required=True, help="the mean grade, JSON")
    parser.add_argument("--answers", type=Path, required=True, help="all answers, JSONL, to write")
    parser.add_argument("--state", type=Path, required=True, help="answers so far, kept between runs")
    parser.add_argument("--workers", type=int, default=1, help="questions at once")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(JudgeContinuations, arguments.settings)
    items = files.read_jsonl(arguments.transcripts)
    if not items:
        raise InputError(f"{arguments.transcripts}: no transcripts; delete it and run again")
    judged = judge_transcripts(items, settings.judge, arguments.state, arguments.workers)
    files.write_jsonl(arguments.answers, judged)
    score = {
        "model": judged[0]["model"],
        "judge": settings.judge.model_dump(),
        "question": question({"prompt_transcript": "...", "continuation_transcript": "..."}),
        **summarize(judged, settings.bootstrap),
        "transcripts_sha256": files.sha256_file(arguments.transcripts),
    }
    files.write_json(arguments.output, score)
    commands.log.info(
        "%s, judged by %s: mean grade %s of %d answers, %d unparsable, %d failed",
        score["model"],
        settings.judge.model,
        "none" if score["mean"] is None else f"{score['mean']:.2f}",
        score["n"],
        score["unparsable"],
        score["failed"],
    )


if __name__ == "__main__":
    commands.run(main)
