"""Grades by a language model behind an endpoint, which is a server on 127.0.0.1 here."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import judge_continuations
from slamflow import files
from slamflow.errors import InputError
from slamflow.generation import judge
from slamflow.generation.judge import Answers, grade_of, question, summarize
from slamflow.recipe.generation import Bootstrap, Judge

SECRET = "sk-secret-0123456789"
Answer = tuple[int, Any, dict[str, str]]


def chat(text: str | None) -> Answer:
    """An answer as OpenAI's server gives it."""
    return 200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}, {}


class StandIn:
    """Answers questions by a function of the continuation, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[str], Answer] = lambda _: chat("It fits.\nScore: 4")
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()
        state = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = body["messages"][0]["content"]
                [continuation] = re.findall('Continuation: "(.*)"', text)
                with state.lock:
                    state.asked.append(body)
                    state.headers.append(dict(self.headers))
                    state.paths.append(self.path)
                    status, content, headers = state.answer(continuation)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def continuations(self) -> list[str]:
        """What was asked about, in the order of the questions."""
        return [re.findall('Continuation: "(.*)"', body["messages"][0]["content"])[0] for body in self.asked]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.delenv(judge.TOKEN, raising=False)
    monkeypatch.setattr(judge, "BACKOFF_SECONDS", 0.001)
    stand_in = StandIn()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()


def transcripts(folder: Path, count: int = 6) -> Path:
    items = [
        {"model": "m", "id": f"i{index}", "prompt_transcript": "Once", "continuation_transcript": f"c{index}"}
        for index in range(count)
    ]
    files.write_jsonl(folder / "transcripts.jsonl", items)
    return folder / "transcripts.jsonl"


def run(server: StandIn, folder: Path, count: int = 6, workers: int = 2, **settings: Any) -> dict[str, Any]:
    asked = {"judge": {"endpoint": server.url, "model": "gpt-x", **settings}, "bootstrap": {"resamples": 300}}
    judge_continuations.main(
        [
            *("--settings", json.dumps(asked), "--transcripts", str(transcripts(folder, count))),
            *("--output", str(folder / "judge.json"), "--answers", str(folder / "answers.jsonl")),
            *("--state", str(folder / "state/m.jsonl"), "--workers", str(workers)),
        ]
    )
    return files.read_json(folder / "judge.json")


def test_every_transcript_is_graded_once(server: StandIn, tmp_path: Path) -> None:
    server.answer = lambda text: chat(f"Because.\nScore: {1 + int(text[1]) % 5}")
    found = run(server, tmp_path)
    # 1 2 3 4 5 1
    assert (found["asked"], found["n"], found["mean"]) == (6, 6, pytest.approx(16 / 6))
    assert found["grades"] == {"1": 2, "2": 1, "3": 1, "4": 1, "5": 1}
    assert (found["unparsable"], found["failed"]) == (0, 0)
    assert 1 <= found["ci95"][0] < found["mean"] < found["ci95"][1] <= 5
    assert sorted(server.continuations) == [f"c{index}" for index in range(6)]
    assert set(server.paths) == {"/v1/chat/completions"}
    assert all(body["model"] == "gpt-x" and "temperature" not in body for body in server.asked)
    answers = files.read_jsonl(tmp_path / "answers.jsonl")
    assert [(one["id"], one["grade"]) for one in answers] == [(f"i{index}", 1 + index % 5) for index in range(6)]
    assert answers[1]["answer"] == "Because.\nScore: 2"


def test_the_temperature_is_sent_if_it_is_set(server: StandIn, tmp_path: Path) -> None:
    run(server, tmp_path, count=2, temperature=0.0)
    assert [body["temperature"] for body in server.asked] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("It fits.\nScore: 4", 4),
        ("**Score:** 5", 5),
        ("Score: 2/5", 2),
        ("The score could be 1. But no.\nscore = 3.", 3),
        (r"The final answer is $\boxed{4}$", 4),
        ("Score: 6", None),
        ("Score: 0", None),
        ("Score: 4.5", None),
        ("Score: 3,5", None),
        ("Score: 10", None),
        ("Score: none", None),
        ("I would say 4", None),
        ("", None),
    ],
)
def test_the_last_grade_of_an_answer_counts(answer: str, grade: int | None) -> None:
    assert grade_of(answer) == grade


def test_answers_without_a_grade_are_counted_and_left_out(server: StandIn, tmp_path: Path) -> None:
    server.answer = lambda text: chat({"c0": "No.", "c1": None}.get(text, "Score: 2"))
    found = run(server, tmp_path)
    assert (found["n"], found["unparsable"], found["failed"], found["mean"]) == (4, 2, 0, 2.0)


def test_what_may_get_better_is_tried_again(server: StandIn, tmp_path: Path) -> None:
    left = {"c0": [500, 429, 503], "c3": [502]}

    def answer(text: str) -> Answer:
        if left.get(text):
            return left[text].pop(0), {}, {"Retry-After": "0"}
        return chat("Score: 5")

    server.answer = answer
    found = run(server, tmp_path)
    assert (found["n"], found["failed"]) == (6, 0)
    assert sorted(server.continuations).count("c0") == 4


def test_a_pause_that_the_server_asks_for_is_kept_and_others_double(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(judge.time, "sleep", pauses.append)
    monkeypatch.setattr(judge, "BACKOFF_SECONDS", 1.0)
    left = [(503, {}, {"Retry-After": "7"}), (503, {}, {"Retry-After": "9999"}), (503, {}, {}), (503, {}, {})]
    server.answer = lambda _: left.pop(0) if left else chat("Score: 1")
    run(server, tmp_path, count=1)
    assert pauses == [7.0, 60.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ((500, {}, {}), "answered 500 (tried 5 times)"),
        ((400, {"error": {"message": "filtered"}}, {}), "answered 400: filtered"),
        ((403, b"<html>", {}), "answered 403"),
        ((302, {}, {"Location": "http://127.0.0.1:1/"}), "answered 302"),
        ((200, b"<html>", {}), "not that of chat completions"),
        ((200, {"choices": []}, {}), "not that of chat completions"),
    ],
)
def test_one_failure_does_not_stop_the_rest_and_is_asked_again_next_time(
    server: StandIn, tmp_path: Path, broken: Answer, reason: str
) -> None:
    server.answer = lambda text: broken if text == "c2" else chat("Score: 3")
    found = run(server, tmp_path)
    assert (found["n"], found["failed"], found["unparsable"], found["mean"]) == (5, 1, 0, 3.0)
    failed = [one for one in files.read_jsonl(tmp_path / "answers.jsonl") if one["failed"]]
    assert [one["id"] for one in failed] == ["i2"]
    assert reason in failed[0]["failed"]
    server.asked.clear()
    server.answer = lambda _: chat("Score: 5")
    found = run(server, tmp_path)
    assert server.continuations == ["c2"]
    assert (found["n"], found["failed"], found["mean"]) == (6, 0, pytest.approx(20 / 6))


def test_a_killed_job_goes_on_where_it_stopped(server: StandIn, tmp_path: Path) -> None:
    """Answers are kept as they come; a line that was cut off in writing is asked again."""
    count = 0

    def answer(_: str) -> Answer:
        nonlocal count
        count += 1
        return chat("Score: 4") if count <= 3 else (404, {}, {})

    server.answer = answer
    with pytest.raises(InputError, match="answered 404: no such address, or no model gpt-x"):
        run(server, tmp_path, workers=1)
    assert not (tmp_path / "judge.json").exists()
    kept = tmp_path / "state/m.jsonl"
    assert len(kept.read_text().splitlines()) == 3
    kept.write_text(kept.read_text()[:-20])
    server.asked.clear()
    server.answer = lambda _: chat("Score: 2")
    found = run(server, tmp_path)
    assert sorted(server.continuations) == ["c2", "c3", "c4", "c5"]
    assert (found["n"], found["mean"]) == (6, pytest.approx(16 / 6))
    server.asked.clear()
    assert run(server, tmp_path) == found
    assert server.asked == []


def test_another_judge_is_asked_afresh(server: StandIn, tmp_path: Path) -> None:
    run(server, tmp_path, count=2)
    run(server, tmp_path, count=2, model="gpt-y")
    assert [body["model"] for body in server.asked] == ["gpt-x"] * 2 + ["gpt-y"] * 2


def test_equal_transcripts_are_two_questions(tmp_path: Path) -> None:
    settings = Judge(endpoint="http://x/v1", model="m")
    item = {"prompt_transcript": "a", "continuation_transcript": "b"}
    keys = {judge.key_of(settings, question(item), ident) for ident in ("i", "j")}
    assert len(keys) == 2
    answers = Answers(tmp_path / "a.jsonl")
    answers.add("k", "Score: 1\nü")
    assert Answers(tmp_path / "a.jsonl").known == {"k": "Score: 1\nü"}


@pytest.mark.parametrize("with_token", [False, True])
def test_a_login_that_fails_ends_at_once_and_says_what_to_do(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_token: bool
) -> None:
    if with_token:
        monkeypatch.setenv(judge.TOKEN, SECRET)
    server.answer = lambda _: (401, {"error": {"message": f"Incorrect key {SECRET}"}}, {})
    words = "refuses the token in" if with_token else "wants a token in the environment variable"
    with pytest.raises(InputError, match=f"{words} JUDGE_API_KEY") as caught:
        run(server, tmp_path, count=50, workers=2)
    assert SECRET not in str(caught.value)
    assert len(server.asked) < 10


def test_a_dead_endpoint_is_named(server: StandIn, tmp_path: Path) -> None:
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(InputError, match=r"chat/completions: no question was answered: .*cannot be reached"):
        run(server, tmp_path, count=2)


def test_the_token_goes_to_the_endpoint_and_nowhere_else(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(judge.TOKEN, SECRET)
    caplog.set_level(logging.DEBUG)
    server.answer = lambda text: chat("Score: 4") if text != "c1" else (400, {"error": {"message": f"{SECRET}!"}}, {})
    run(server, tmp_path)
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {SECRET}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 4
    assert all(SECRET not in path.read_text() for path in written)
    assert SECRET not in caplog.text


def test_without_a_token_none_is_taken_from_elsewhere(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    run(server, tmp_path, count=1)
    assert all("Authorization" not in headers for headers in server.headers)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:8000", "ftp://x/v1", "https://me:secret@x/v1", "https://x/v1?key=secret", "https://x/v 1"]
)
def test_an_address_that_holds_a_secret_or_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        Judge(endpoint=endpoint, model="m")


def test_transcripts_that_were_not_heard_apart_are_refused(server: StandIn, tmp_path: Path) -> None:
    files.write_jsonl(tmp_path / "transcripts.jsonl", [{"model": "m", "id": "i0", "transcript": "Once c"}])
    settings = Judge(endpoint=server.url, model="m")
    with pytest.raises(InputError, match="i0: prompt and continuation have not been transcribed apart"):
        judge.judge_transcripts(files.read_jsonl(tmp_path / "transcripts.jsonl"), settings, tmp_path / "kept")


def test_the_mean_needs_grades() -> None:
    none = summarize([{"grade": None, "failed": None}, {"grade": None, "failed": "x"}], Bootstrap())
    assert (none["n"], none["mean"], none["ci95"], none["unparsable"], none["failed"]) == (0, None, None, 1, 1)
    one = summarize([{"grade": 3, "failed": None}], Bootstrap())
    assert (one["n"], one["mean"], one["ci95"]) == (1, 3.0, None)
