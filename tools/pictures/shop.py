"""A receiver as it is often written: what `check` has to say of it is in the picture."""

import hmac
import os

from flask import Flask, abort, request

app = Flask(__name__)
secret = os.environ["MEETGEEK_WEBHOOK_SECRET"].encode()


@app.post("/hook")
def hook() -> str:
    """Receive a webhook."""
    expected = hmac.new(secret, request.get_data(), "sha256").hexdigest()
    if not hmac.compare_digest(request.headers.get("X-MG-Signature", ""), expected):
        abort(401)
    process(request.get_json()["meeting_id"])
    return "ok"


def process(meeting_id: str) -> None:
    """Stand for what a shop does with a meeting."""
