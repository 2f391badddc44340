"""A web server on 127.0.0.1 that serves files as an ordinary server and as the Hugging Face hub, and misbehaves."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GOOD_TOKEN = "hf_goodtokengoodtoken"
PRIVATE = "lab/private"
GATED = "lab/gated"


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


def start(state: StandIn) -> ThreadingHTTPServer:
    """Serve `state` on a free port; state.url gets its address. Stop it with shutdown() and server_close()."""

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

        def hub_refuses(self, repo: str, revision: str) -> bool:
            """Answer as the hub does where something is wrong."""
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token and token != GOOD_TOKEN:
                self.refuse(401, X_Error_Message="Invalid credentials in Authorization header")
            elif repo == GATED:
                self.refuse(403 if token else 401, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
            elif repo == PRIVATE and not token:
                self.refuse(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            elif not any(path.startswith(f"/{repo}/resolve/") for path in state.files):
                self.refuse(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            elif revision != COMMIT:
                self.refuse(404, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
            elif self.path not in state.files:
                self.refuse(404, X_Error_Code="EntryNotFound", X_Error_Message="Entry not found")
            else:
                return False
            return True

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            state.requests.append(
                (self.command, self.path, {name.title(): value for name, value in self.headers.items()})
            )
            if state.statuses.get(self.path):
                self.refuse(state.statuses[self.path].pop(0), Retry_After="0")
                return
            hub = re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/.+", self.path)
            if hub and self.hub_refuses(hub[1], hub[2]):
                return
            content = state.files.get(self.path)
            if content is None:
                self.refuse(404)
                return
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            first = 0
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if wanted and state.ranges and self.headers.get("If-Range", etag) == etag:
                first = int(wanted[1])
                if first >= len(content):
                    self.refuse(416)
                    return
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", etag)
            if state.lengths:
                self.send_header("Content-Length", str(len(content) - first))
            else:
                self.send_header("Connection", "close")
            if hub:
                self.send_header("X-Repo-Commit", hub[2])
            self.end_headers()
            if not body:
                return
            cuts = state.hang_up_after.get(self.path)
            piece = content[first:]
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

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
