"""A server that answers everything with a web page or an error that quotes the whole request, secrets included."""

import html
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs

ANSWERS = ("page", "salesforce", "pagerduty", "oauth", "page")
STATUSES = (500, 400, 401, 403, 404, 200)


@dataclass(slots=True)
class Echo:
    """Its address, every credential that it was shown, and how many requests it answered."""

    url: str
    credentials: set[str] = field(default_factory=set)
    answered: int = 0


@contextmanager
def echoing() -> Iterator[Echo]:
    """An echo server for the length of the block."""
    turns = count()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            """Quote the request in the shape and with the status whose turn it is."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            self._note(body)
            turn = next(turns)
            status = STATUSES[turn % len(STATUSES)]
            words = f"{self.requestline} {self.headers} {body}"
            shape = ANSWERS[turn % len(ANSWERS)]
            text = {
                "page": f"<html><body><pre>{html.escape(words)}</pre></body></html>",
                "salesforce": json.dumps([{"errorCode": "UNKNOWN", "message": words}]),
                "pagerduty": json.dumps(
                    {"error": {"code": 2000, "message": words, "errors": [words]}}
                ),
                "oauth": json.dumps({"error": "invalid_grant", "error_description": words}),
            }[shape]
            raw = text.encode()
            self.send_response(status)
            kind = "text/html" if shape == "page" else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
            echo.answered = turn + 1

        def _note(self, body: str) -> None:
            shown = (self.headers.get("Authorization") or "").replace("token=", "").split()[1:]
            form = parse_qs(body)
            for name in ("assertion", "client_secret"):
                shown += form.get(name, [])
            echo.credentials.update(shown)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    echo = Echo(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield echo
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
