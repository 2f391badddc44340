"""A web server on 127.0.0.1 that serves files as an ordinary server and as the Hugging Face hub, and misbehaves."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GOOD_TOKEN = "hf_goodtokengoodtoken"
PRIVATE = "lab/private"
GATED = "lab/gated"
FORBIDDEN = "lab/forbidden"
"""What a token may not read that has no permission for gated repositories."""


@dataclass
class StandIn:
    """What the server serves, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    """By path, such as /plain.bin or /owner/name/resolve/COMMIT/file."""
    hang_up_after: dict[str, list[int]] = field(default_factory=dict)
    """Path: after how many bytes of the body the connection closes, request by request; none left means never."""
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """Path: statuses to answer with first."""
    ranges: bool = True
    """Whether Range is honoured."""
    lengths: bool = True
    """Whether Content-Length is sent."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers (Written-Like-This) of each request."""
    url: str = ""

    def asked(self, path: str, method: str = "GET") -> list[dict[str, str]]:
        """Headers of the requests for `path`."""
        return [headers for verb, asked, headers in self.requests if asked == path and verb == method]

    def counts(self) -> Counter[str]:
        return Counter(path for _, path, _ in self.requests)

    def repository(self, repo: str) -> dict[str, dict[str, bytes]]:
        """The files of a repository of the hub (owner/name, datasets/owner/name) by commit and path."""
        found: dict[str, dict[str, bytes]] = {}
        prefix = f"/{repo}/resolve/"
        for path, content in self.files.items():
            if path.startswith(prefix):
                commit, _, name = path.removeprefix(prefix).partition("/")
                found.setdefault(commit, {})[name] = content
        return found


def described(name: str, content: bytes) -> dict[str, Any]:
    """A file as the hub's tree lists it; what is no short text is kept in its store of large files."""
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content)}
    entry["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if not name.endswith((".json", ".txt", ".md", ".csv")):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """The entries of one folder of a repository, or of all folders below it too."""
    prefix = f"{folder}/" if folder else ""
    entries, folders = [], set()
    for name, content in sorted(files.items()):
        if not name.startswith(prefix):
            continue
        parts = name.removeprefix(prefix).split("/")
        folders.update(prefix + "/".join(parts[:depth]) for depth in range(1, len(parts)) if recursive or depth == 1)
        if recursive or len(parts) == 1:
            entries.append(described(name, content))
    return [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)] + entries


def hub_answer(state: StandIn, path: str, asked: dict[str, list[str]], form: dict[str, list[str]]) -> Any:
    """What the hub's API says at `path` (/api/models/... or /api/datasets/...); None if there is nothing.

    asked: the query; form: the fields of a POST.
    """
    match = re.fullmatch(
        r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?", path
    )
    if match is None:
        return None
    kind, name, what, revision, folder = match.groups()
    versions = state.repository(name if kind == "models" else f"datasets/{name}")
    commit = next(iter(versions), "") if revision in (None, "main") else revision
    if commit not in versions:
        return None
    files = versions[commit]
    if what == "tree":
        return tree(files, unquote(folder or "").strip("/"), asked.get("recursive", ["false"])[0].lower() == "true")
    if what == "paths-info":
        return [described(file, files[file]) for file in form.get("paths", []) if file in files]
    siblings = [{"rfilename": file} for file in sorted(files)]
    about = {"id": name, "sha": commit, "private": False, "gated": False, "disabled": False, "tags": []}
    return {**about, "_id": "0" * 24, "downloads": 0, "likes": 0, "siblings": siblings}


def start(state: StandIn, port: int = 0) -> ThreadingHTTPServer:
    """Serve `state` on a port, 0 for any free one; state.url gets its address.

    Stop it with shutdown() and server_close().
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def refuse(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def hub_refuses(self, repo: str, revision: str, path: str) -> bool:
            """Answer as the hub does where something is wrong."""
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token and token != GOOD_TOKEN:
                self.refuse(401, X_Error_Message="Invalid credentials in Authorization header")
            elif repo == GATED:
                self.refuse(403 if token else 401, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
            elif repo == FORBIDDEN:
                self.refuse(403, X_Error_Message="Please enable access to public gated repositories")
            elif repo == PRIVATE and not token:
                self.refuse(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            elif not any(path.startswith(f"/{repo}/resolve/") for path in state.files):
                self.refuse(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            elif revision not in state.repository(repo):
                self.refuse(404, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
            elif path not in state.files:
                self.refuse(404, X_Error_Code="EntryNotFound", X_Error_Message="Entry not found")
            else:
                return False
            return True

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            if self.headers.get("Content-Type", "").startswith("application/json"):
                form = {key: value if isinstance(value, list) else [value] for key, value in json.loads(data).items()}
            else:
                form = parse_qs(data)
            self.answer(body=True, form=form)

        def answer(self, body: bool, form: dict[str, list[str]] | None = None) -> None:
            state.requests.append(
                (self.command, self.path, {name.title(): value for name, value in self.headers.items()})
            )
            if state.statuses.get(self.path):
                self.refuse(state.statuses[self.path].pop(0), Retry_After="0")
                return
            path, _, query = self.path.partition("?")
            hub = re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            commit = hub[2] if hub else ""
            if hub:
                if commit == "main":
                    commit = next(iter(state.repository(hub[1])), commit)
                path = f"/{hub[1]}/resolve/{commit}/{unquote(hub[3])}"
                if self.hub_refuses(hub[1], commit, path):
                    return
            content = state.files.get(path)
            if content is None and path.startswith("/api/"):
                found = hub_answer(state, path, parse_qs(query), form or {})
                if found is None:
                    self.refuse(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
                    return
                content = json.dumps(found).encode()
            if content is None:
                self.refuse(404)
                return
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            first = 0
            end = len(content)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            partial = bool(wanted and state.ranges and self.headers.get("If-Range", etag) == etag)
            if wanted and partial:
                first = int(wanted[1])
                end = min(end, int(wanted[2]) + 1) if wanted[2] else end
                if first >= len(content):
                    self.refuse(416)
                    return
            self.send_response(206 if partial else 200)
            if partial:
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(content)}")
            self.send_header("ETag", etag)
            if state.lengths:
                self.send_header("Content-Length", str(end - first))
            else:
                self.send_header("Connection", "close")
            if hub:
                self.send_header("X-Repo-Commit", commit)
                self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            if not body:
                return
            cuts = state.hang_up_after.get(path)
            piece = content[first:end]
            if cuts:
                self.wfile.write(piece[: cuts.pop(0)])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self.wfile.write(piece)
                self.close_connection = not state.lengths

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that hang up are no news."""

    server = Server(("127.0.0.1", port), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
