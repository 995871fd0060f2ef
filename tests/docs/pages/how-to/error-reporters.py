import json
import os
from secrets import token_hex

from steps import after, before, deliver, sign


@before(file="reporting.py")
def set_the_address(page):
    os.environ["SENTRY_DSN"] = "https://public@sentry.invalid/1"


@after(file="reporting.py")
def nothing_that_is_sent_holds_the_signature_or_the_body(page):
    import reporting
    import sentry_sdk
    from flask import Flask, request

    from mg_middleware import MeetGeekWSGIMiddleware, delivery_of

    assert reporting
    sent = []
    client = sentry_sdk.get_client()
    client.transport.kill()
    client.transport.capture_envelope = sent.append
    app = Flask(__name__)

    @app.post("/webhooks/meetgeek")
    def receive_webhook():
        signature, body = request.headers["X-MG-Signature"], delivery_of(request).body
        raise ConnectionError(f"the queue is down: {len(signature)} {len(body)}")

    app.wsgi_app = MeetGeekWSGIMiddleware(app.wsgi_app)
    meeting_id = token_hex()  # Sentry sends the lines of the source around a fault: they must not hold it
    body = json.dumps({"message": "File analyzed successfully", "meeting_id": meeting_id}).encode()
    assert deliver(app, body=body).status_code == 500
    shown = b"".join(envelope.serialize() for envelope in sent).decode()
    assert "the queue is down" in shown
    assert '"type":"transaction"' in shown.replace(" ", "")
    assert "X-Mg-Signature" in shown
    assert sign(body) not in shown
    assert meeting_id not in shown
