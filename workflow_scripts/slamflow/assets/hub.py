"""Files of the Hugging Face hub at a fixed commit."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors
from tqdm import tqdm

from slamflow.assets.transfer import ByteProgress, LoginError, SourceError, locked

SOURCE = re.compile(r"hf://(?P<datasets>datasets/)?(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})/(?P<path>.+)")


@contextlib.contextmanager
def download(source: str, name: str, downloads: Path) -> Iterator[Path]:
    """Download the hub file that `source` names into `downloads` and yield its path; move it away or lose it.

    HF_ENDPOINT names another hub; a token is taken from HF_TOKEN only. Raises SourceError with what to do.
    """
    match = SOURCE.fullmatch(source)
    if match is None:
        raise SourceError("write hf://owner/name@revision/path with the 40-digit commit")
    repo_type = "dataset" if match["datasets"] else "model"
    folder = downloads / f"{repo_type}--{match['repo'].replace('/', '--')}--{match['revision']}"
    token = os.environ.get("HF_TOKEN")
    # The library's warnings quote addresses with their signatures.
    huggingface_hub.logging.set_verbosity_error()
    # One lock per file: several files of a repository may come at once.
    with locked(folder / ".locks" / f"{match['path'].replace('/', '--')}.lock"):
        try:
            path = huggingface_hub.hf_hub_download(
                match["repo"],
                match["path"],
                repo_type=repo_type,
                revision=match["revision"],
                local_dir=folder,
                endpoint=os.environ.get("HF_ENDPOINT"),
                token=token or False,
                tqdm_class=bar_class(name),
            )
        except Exception as error:
            reason = explain(error, match["repo"], match["path"], match["revision"], token is not None)
            if reason is None:
                raise
            # What the hub answered before the library looked for a local copy is the cause of that error.
            refused = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
            raise (LoginError if status_of(refused) in (401, 403) else SourceError)(reason) from None
        try:
            yield Path(path)
        finally:
            Path(path).unlink(missing_ok=True)


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status in an error of the hub library, if it has one."""
    return getattr(getattr(error, "response", None), "status_code", None)


def explain(error: Exception, repo: str, path: str, revision: str, with_token: bool) -> str | None:
    """An error of the hub library in plain words with the way out; None for one that is not the hub's."""
    status = status_of(error)
    login = (
        "the HF_TOKEN in the environment has no access to it"
        if with_token
        else "set HF_TOKEN in the environment if it is private"
    )
    if isinstance(error, errors.GatedRepoError):
        where = f"{repo} is gated: accept its terms on its page on the hub, then "
        return where + ("use a token of that account" if with_token else "set HF_TOKEN in the environment")
    if isinstance(error, errors.DisabledRepoError):
        return f"{repo} was disabled on the hub"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no repository {repo}, or it is not public: check the name; {login}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no commit {revision}"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{repo} has no file {path} at commit {revision[:12]}"
    if status == 401:
        return "the hub refuses the HF_TOKEN in the environment: renew or unset it"
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause = error.__cause__
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set"
        if isinstance(cause, errors.HfHubHTTPError):
            return explain(cause, repo, path, revision, with_token)
        if isinstance(cause, errors.FileMetadataError):
            return "the answer is not a hub's: check HF_ENDPOINT, or the proxy"
        return f"the hub cannot be reached ({type(cause).__name__}): check the network, the proxy, or HF_ENDPOINT"
    if status == 403:
        return f"the hub forbids it: {login}"
    if status is not None:
        return f"the hub answered {status}"
    if type(error).__module__.split(".")[0].startswith("httpx"):
        return f"the connection to the hub broke off ({type(error).__name__})"
    if isinstance(error, OSError) and "Consistency check failed" in str(error):
        return "the hub's file has another size than announced; run again"
    return None


def bar_class(name: str) -> type[tqdm[Any]]:
    """A progress bar that writes lines to the log instead of drawing."""

    class LogBar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "file": io.StringIO(), "disable": False})
            self.bytes = ByteProgress(name, self.total, self.n)

        def update(self, n: float | None = 1) -> bool | None:
            self.bytes.add(int(n or 0))
            return super().update(n)

    return LogBar
