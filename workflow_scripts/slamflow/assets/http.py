"""Downloads from web servers that resume after a broken connection."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from pathlib import Path

import requests
import urllib3

from slamflow.assets.transfer import PIECE, ByteProgress, SourceError, require_space

log = logging.getLogger("slamflow")

ATTEMPTS = 4
"""Attempts in a row that bring no new byte before a server is given up."""
BACKOFF_SECONDS = 1.0
"""Pause after the first of them; it doubles each time."""
TIMEOUT_SECONDS = (15.0, 60.0)
"""To connect, and between two pieces."""
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
EXPLAINED = {
    401: "the server wants a login",
    403: "the server forbids it",
    404: "no such file on the server",
    407: "the proxy wants a login; see HTTPS_PROXY",
    410: "the file was removed from the server",
}


class BrokenError(Exception):
    """This attempt failed and another may not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def download(url: str, part: Path, name: str, expected: int | None, first: int | None = None) -> None:
    """Download `url` into `part`, appending to what is already there, until the file is whole.

    expected: the size in bytes, if known. first: take this many bytes of a larger file. Raises SourceError if the
    server cannot be reached, refuses, or offers a file of another size. What has arrived stays in `part` for the next
    time.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    while True:
        before = size_of(part)
        if before in (expected, first):
            return
        try:
            one_request(url, part, name, expected, first)
            return
        except BrokenError as broken:
            failed = 1 if size_of(part) > before else failed + 1
            if failed >= ATTEMPTS:
                raise SourceError(f"{broken} (tried {ATTEMPTS} times)") from None
            wait = min(60.0, broken.wait if broken.wait is not None else BACKOFF_SECONDS * 2 ** (failed - 1))
            log.warning("%s: %s; again in %.1f s from byte %d", name, broken, wait, size_of(part))
            time.sleep(wait)


def one_request(url: str, part: Path, name: str, expected: int | None, first: int | None) -> None:
    """One request for what is missing in `part`. Raises BrokenError if it breaks off, SourceError if it is in vain."""
    start = size_of(part)
    # Bytes as they are stored: a compressed transfer could not be resumed.
    headers = {"Accept-Encoding": "identity"}
    if start or first is not None:
        headers["Range"] = f"bytes={start}-{'' if first is None else first - 1}"
        if start and (validator := read_validator(part, url)):
            headers["If-Range"] = validator
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            if response.status_code == 416:
                discard(part)
                raise BrokenError("the server has no bytes beyond those already here")
            check_status(response)
            start = start if begins_at(response) == start else 0
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdigit() else None
            if first is not None:
                total = expected = min(first, whole_size(response, start) or first)
            elif expected is not None and total is not None and total != expected:
                raise SourceError(f"the server offers {total} bytes, expected {expected}: another file, or a moved one")
            if (total or expected) is not None:
                require_space(part.parent, (total or expected or 0) - start)
            write_validator(part, url, response)
            progress = ByteProgress(name, total or expected, start)
            with open(part, "ab" if start else "wb") as stream:
                for piece in progress.over(response.raw.stream(PIECE, decode_content=False)):
                    stream.write(piece if first is None else piece[: first - stream.tell()])
                    if stream.tell() == first:
                        break
                stream.flush()
                os.fsync(stream.fileno())
    except (requests.exceptions.MissingSchema, requests.exceptions.InvalidURL):
        raise SourceError("not a valid address") from None
    except requests.exceptions.TooManyRedirects:
        raise SourceError("the server sends one round in circles (too many redirects)") from None
    except requests.exceptions.SSLError as error:
        raise SourceError(f"its certificate is not trusted ({error}); see REQUESTS_CA_BUNDLE") from None
    except requests.exceptions.ProxyError:
        raise BrokenError("cannot get through the proxy; see HTTPS_PROXY") from None
    except requests.exceptions.Timeout:
        raise BrokenError("the server does not answer in time") from None
    except requests.exceptions.ConnectionError as error:
        raise BrokenError(f"cannot reach the server ({deepest(error)})") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise BrokenError(f"the connection broke off ({type(error).__name__})") from None
    if expected is not None and size_of(part) < expected:
        raise BrokenError("the connection broke off")


def check_status(response: requests.Response) -> None:
    """Raise BrokenError for an answer that may change, SourceError for one that will not."""
    status = response.status_code
    if status in TRANSIENT:
        pause = response.headers.get("Retry-After", "")
        raise BrokenError(f"the server answered {status}", float(pause) if pause.isdigit() else None)
    if status not in (200, 206):
        raise SourceError(f"the server answered {status}: {EXPLAINED.get(status, response.reason)}")


def begins_at(response: requests.Response) -> int:
    """Offset of the first byte in the body: a server may answer a range with the whole file."""
    if response.status_code != 206:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1


def whole_size(response: requests.Response, start: int) -> int | None:
    """Bytes of the whole file behind an answer that begins at `start`, if the server tells."""
    if response.status_code == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(size) if size.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def deepest(error: BaseException) -> str:
    """The last cause of a chain of errors in a few words, such as `Connection refused`."""
    while True:
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    return getattr(error, "strerror", None) or type(error).__name__


def size_of(path: Path) -> int:
    """Bytes in a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def validator_path(part: Path) -> Path:
    return part.with_suffix(".from")


def write_validator(part: Path, url: str, response: requests.Response) -> None:
    """Remember which version of the file at `url` the partial file is of (RFC 9110, 13.1.5: no weak tags)."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    validator_path(part).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def read_validator(part: Path, url: str) -> str | None:
    """The validator of the partial file, if it came from `url`."""
    try:
        known = json.loads(validator_path(part).read_text(encoding="utf-8"))
        return known["validator"] if known["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def discard(part: Path) -> None:
    """Remove a partial file and what is known about it."""
    part.unlink(missing_ok=True)
    validator_path(part).unlink(missing_ok=True)
