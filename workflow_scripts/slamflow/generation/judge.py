"""How well continuations fit their prompts, as a language model behind a network answers (GPTScore).

The protocol is AlignSLM's (Lin et al. 2024, arXiv:2411.01834) as SlamKit runs it: the judge reads the transcripts of
prompt and continuation and gives 1 to 5 for how likely and relevant the continuation is (slp-rl/slamkit@388b402,
config/metric/llm_as_judge.yaml, slamkit/metric/metric_utils.py:86-110). The wording is our own, so is the form of the
last line; figures of other wordings are near these, not the same. Further differences: SlamKit cuts prompts at the end
of the word nearest to 3 s, takes recordings of 6 s or more, and transcribes the prompt as it was recorded; here it is
cut at 3 s and heard as the vocoder speaks it, as in GenPPL.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import requests

from slamflow import commands, files
from slamflow.assets.http import TIMEOUT_SECONDS, TRANSIENT, BrokenError, deepest
from slamflow.assets.transfer import scrub
from slamflow.errors import InputError
from slamflow.evaluation.bootstrap import mean_interval
from slamflow.recipe.generation import Bootstrap, Judge

TOKEN = "JUDGE_API_KEY"
"""The environment variable with the token, if the endpoint wants one."""
ATTEMPTS = 5
BACKOFF_SECONDS = 1.0
"""Pause after the first attempt that failed; it doubles each time."""
LONGEST_PAUSE_SECONDS = 60.0
ANSWER_SECONDS = 300.0
GRADES = range(1, 6)
QUESTION = """A program heard the beginning of a spoken text and went on speaking by itself. Both parts were transcribed
automatically. Grade the second part: is it a likely way to go on, does it belong to what the beginning is about, and
does it make sense?

Beginning: "{prompt}"
Continuation: "{continuation}"

Grades:
1 - it does not belong to the beginning, or nobody would say it;
2 - it is unlikely, and hardly has to do with the beginning;
3 - it is somewhat likely, and has to do with the beginning;
4 - it is likely, and belongs to the beginning;
5 - it is very likely, and follows closely from the beginning.

First say in a few words what speaks for and against it. Then end with a line of this form, N being the grade:
Score: N"""
GRADE = re.compile(r"(?:\bscore\b[^\w\n]*|\\boxed\{\s*)(\d+(?:[.,]\d+)?)", re.IGNORECASE)


def question(item: dict[str, Any]) -> str:
    """What the judge is asked of a transcript."""
    return QUESTION.format(prompt=item["prompt_transcript"], continuation=item["continuation_transcript"])


def grade_of(answer: str) -> int | None:
    """The grade, 1 to 5, that an answer ends with; None if it gives none."""
    found = GRADE.findall(answer)
    return int(found[-1]) if found and found[-1] in map(str, GRADES) else None


class NoAnswerError(Exception):
    """A question stays without an answer; another may get one."""


class Endpoint:
    """A server that speaks OpenAI's chat completions."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.url = f"{judge.endpoint.rstrip('/')}/chat/completions"

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # Even without a token: requests would look into ~/.netrc.
        if token := os.environ.get(TOKEN):
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    def ask(self, text: str) -> str:
        """The answer to a question. Tries again what may get better.

        Raises NoAnswerError with the reason, InputError for what no other question would get either.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._once(text)
            except BrokenError as broken:
                if attempt + 1 == ATTEMPTS:
                    raise NoAnswerError(f"{broken} (tried {ATTEMPTS} times)") from None
                pause = broken.wait if broken.wait is not None else BACKOFF_SECONDS * 2**attempt
                time.sleep(min(LONGEST_PAUSE_SECONDS, pause))
        raise AssertionError("not reached")

    def _once(self, text: str) -> str:
        """One request. Raises BrokenError for what may get better, and what `ask` raises."""
        body: dict[str, Any] = {"model": self.judge.model, "messages": [{"role": "user", "content": text}]}
        if self.judge.temperature is not None:
            body["temperature"] = self.judge.temperature
        try:
            response = requests.post(
                self.url,
                json=body,
                auth=self._authorized,
                timeout=(TIMEOUT_SECONDS[0], ANSWER_SECONDS),
                allow_redirects=False,  # the token is for this server
            )
        except requests.exceptions.Timeout:
            raise BrokenError("the endpoint does not answer in time") from None
        except requests.exceptions.ConnectionError as error:
            raise BrokenError(f"the endpoint cannot be reached ({deepest(error)})") from None
        except requests.exceptions.RequestException as error:
            raise BrokenError(f"the connection broke off ({type(error).__name__})") from None
        status = response.status_code
        if status in TRANSIENT:
            wait = response.headers.get("Retry-After", "")
            raise BrokenError(f"the endpoint answered {status}", float(wait) if wait.isdigit() else None)
        if status == 401:
            what = "refuses the token in" if os.environ.get(TOKEN) else "wants a token in the environment variable"
            raise InputError(f"{self.url}: the endpoint {what} {TOKEN}")
        if status == 404:
            raise InputError(f"{self.url}: the endpoint answered 404: no such address, or no model {self.judge.model}")
        if status != 200:
            raise NoAnswerError(f"the endpoint answered {status}{_said(response)}")
        try:
            return str(response.json()["choices"][0]["message"]["content"] or "")
        except (ValueError, LookupError, TypeError):
            raise NoAnswerError("the answer is not that of chat completions") from None


def _said(response: requests.Response) -> str:
    """What an endpoint says of a refusal, if it does as OpenAI's; without secrets."""
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return ""
    return f": {scrub(' '.join(message.split())[:200])}"


class Answers:
    """Answers that are kept as they come, in a file of JSON lines, so that a killed job does not ask again."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a line that was cut off is left out, and its question asked again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.known: dict[str, str] = {}
        self._lock = threading.Lock()
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines():
            with contextlib.suppress(ValueError, LookupError, TypeError):
                record = json.loads(line)
                self.known[record["question"]] = record["answer"]
        self._torn = bool(text) and not text.endswith("\n")

    def add(self, key: str, answer: str) -> None:
        """Keep an answer."""
        with self._lock, open(self.path, "a", encoding="utf-8") as lines:
            lines.write("\n" * self._torn + json.dumps({"question": key, "answer": answer}) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
            self.known[key], self._torn = answer, False


def key_of(judge: Judge, text: str, ident: str) -> str:
    """The key of a question, which differs by judge, wording, transcript and item."""
    return files.sha256_json([judge.endpoint, judge.model, judge.temperature, text, ident])


def judge_transcripts(items: list[dict[str, Any]], judge: Judge, kept: Path, workers: int = 1) -> list[dict[str, Any]]:
    """Ask the judge about each transcript; `workers` questions at once. What is in `kept` is not asked again.

    Gives for each: model, id, prompt, continuation, answer, grade and failed: the reason why there is no answer, or
    null. A question that fails does not stop the others. Raises InputError if none at all is answered, or if the
    endpoint says that none will be; answers so far are kept.
    """
    if missing := next((item for item in items if item.get("continuation_transcript") is None), None):
        raise InputError(
            f"{missing.get('id')}: prompt and continuation have not been transcribed apart; run score_continuations "
            'with {"apart": true}'
        )
    endpoint = Endpoint(judge)
    answers = Answers(kept)
    keys = [key_of(judge, question(item), item["id"]) for item in items]
    due = [index for index, key in enumerate(keys) if key not in answers.known]
    if len(due) < len(items):
        commands.log.info("%d of %d answers are there from before", len(items) - len(due), len(items))
    failed = dict(_asked(endpoint, answers, {keys[index]: question(items[index]) for index in due}, workers))
    reasons = Counter(failed.values())
    for reason, count in reasons.most_common():
        commands.log.warning("%d questions without an answer: %s", count, reason)
    if failed and len(failed) == len(items):
        raise InputError(f"{endpoint.url}: no question was answered: {reasons.most_common(1)[0][0]}")
    return [
        {
            "model": item["model"],
            "id": item["id"],
            "prompt": item["prompt_transcript"],
            "continuation": item["continuation_transcript"],
            "answer": answers.known.get(key),
            "grade": grade_of(answers.known.get(key, "")),
            "failed": failed.get(key),
        }
        for item, key in zip(items, keys, strict=True)
    ]


def _asked(endpoint: Endpoint, answers: Answers, due: dict[str, str], workers: int) -> Iterator[tuple[str, str]]:
    """Ask what is due and keep the answers. Yields the questions that stay without one, and why."""
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(endpoint.ask, text): key for key, text in due.items()}
        try:
            for job in commands.progress(as_completed(jobs), len(jobs), "continuations judged"):
                try:
                    answers.add(jobs[job], job.result())
                except NoAnswerError as error:
                    yield jobs[job], str(error)
        finally:
            pool.shutdown(cancel_futures=True)


def summarize(items: list[dict[str, Any]], bootstrap: Bootstrap) -> dict[str, Any]:
    """Mean grade with its bootstrap interval, over the answers that give one; the others are counted.

    SlamKit also takes the mean over what it can read (generative_metric.py, llm_as_judge). Null without enough grades.
    """
    grades = np.array([item["grade"] for item in items if item["grade"] is not None], dtype=np.float64)
    failed = sum(item["failed"] is not None for item in items)
    ci95 = mean_interval(grades, bootstrap.resamples, bootstrap.seed) if grades.size >= 2 else None
    return {
        "asked": len(items),
        "n": int(grades.size),
        "mean": float(grades.mean()) if grades.size else None,
        "ci95": ci95,
        "grades": {str(grade): int((grades == grade).sum()) for grade in GRADES},
        "unparsable": len(items) - failed - int(grades.size),
        "failed": failed,
    }
