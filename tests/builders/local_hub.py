"""A Hugging Face hub on this machine: as much of its protocol as fetching a model takes. For HF_ENDPOINT."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GATED = "somebody/gated"


class _Answers(BaseHTTPRequestHandler):
    home: Path  # owner/name -> a folder
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self.asked.append(path)
        parts = path.removeprefix("api/models/").split("/")
        name = "/".join(parts[:2])
        folder = self.home / name
        if name == GATED:
            return self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body)
        if not folder.is_dir() or len(parts) < 2:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        if "revision" in parts and parts[-1] not in ("main", COMMIT):
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
        files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        if path.startswith("api/") and "tree" in parts:
            tree = [{"type": "file", "path": f, "size": p.stat().st_size, "oid": "0"} for f, p in files.items()]
            return self._send(200, json.dumps(tree).encode(), {}, body)
        if path.startswith("api/"):
            siblings = [{"rfilename": f, "size": p.stat().st_size} for f, p in files.items()]
            document = {"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "gated": False}
            return self._send(200, json.dumps(document).encode(), {}, body)
        content = files["/".join(parts[4:])].read_bytes()  # owner/name/resolve/commit/file
        return self._send(
            200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}, body
        )

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@contextmanager
def local_hub(home: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub that has the folders home/owner/name, and the paths that it was asked for."""
    asked: list[str] = []
    kind = type("Answers", (_Answers,), {"home": home, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
