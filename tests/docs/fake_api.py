"""A small fake of MeetGeek's API, for the guide "Fetch the meeting".

Documented on docs.meetgeek.ai ("Get meeting"): the hosts, the Bearer key and the path of a meeting. In MeetGeek's own
MCP server: the path of the transcript, `limit` and `cursor`. In a third party's copy of MeetGeek's reference: the
fields of a meeting and of a sentence, `pagination.next_cursor`, and the statuses 401, 404, 410 and 429.

Observed in public code: a key begins with its region; the default user agent of Python's urllib gets 403; a page has at
most 500 sentences.

Made up here: the texts of the errors, and that the last page has no `next_cursor`.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

KEY = "eu-a-key-made-up-for-the-documentation"


class FakeAPI:
    """One meeting with so many sentences, on a free port of 127.0.0.1.

    `pages` counts the pages of transcripts, and the next `failures` requests get 503.
    """

    def __init__(self, meeting_id: str, sentences: int) -> None:
        self.meeting_id = meeting_id
        self.sentences = [
            {"id": number, "speaker": "Alice", "timestamp": "2024-01-15T10:30:00Z", "transcript": f"sentence {number}"}
            for number in range(1, sentences + 1)
        ]
        self.pages = 0
        self.failures = 0

    def start(self) -> str:
        """Serve in a thread; the URL."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *arguments: Handler(self, *arguments))
        Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()

    def response_to(self, path: str, query: dict[str, list[str]], key: str, user_agent: str) -> tuple[int, object]:
        """The status and the JSON for one GET."""
        if user_agent.startswith("Python-urllib"):
            return 403, {"message": "blocked"}
        if self.failures:
            self.failures -= 1
            return 503, {"message": "try again"}
        if key != f"Bearer {KEY}":
            return 401, {"message": "unauthorized"}
        special = {"deleted": (410, {"message": "gone"}), "over-quota": (429, {"message": "quota limit reached"})}
        _, _, _, meeting_id, *rest = path.split("/")
        if meeting_id != self.meeting_id:
            return special.get(meeting_id, (404, {"message": "meeting not found"}))
        if not rest:
            return 200, {"meeting_id": meeting_id, "title": "All-hands", "host_email": "alice@acme.example"}
        self.pages += 1
        start = int(query.get("cursor", ["0"])[0])
        end = start + min(500, int(query["limit"][0]))
        pagination = {"next_cursor": str(end)} if end < len(self.sentences) else {}
        return 200, {"meeting_id": meeting_id, "sentences": self.sentences[start:end], "pagination": pagination}


class Handler(BaseHTTPRequestHandler):
    """One connection to the fake."""

    def __init__(self, api: FakeAPI, *arguments) -> None:
        self.api = api
        super().__init__(*arguments)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        key, user_agent = self.headers.get("Authorization", ""), self.headers.get("User-Agent", "")
        status, found = self.api.response_to(url.path, parse_qs(url.query), key, user_agent)
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments) -> None:
        """Print nothing."""
