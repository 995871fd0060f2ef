"""One verification of one body, in every way that is compared. Each function takes a body and prepares a callable."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import time

from gidgethub import sansio
from served import SECRET
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook
from stripe import WebhookSignature
from svix.webhooks import Webhook as SvixWebhook
from twilio.request_validator import RequestValidator

from mg_middleware import Webhook as MeetGeekWebhook
from mg_middleware._keys import keys_from
from mg_middleware._verification import Verification, check_header

KEY = SECRET.encode()
CHUNK = 65_536
# {"message": "File analyzed successfully", "meeting_id": "<uuid>"}, as documented.
BODY_SIZE = 95


def made_up_body(size):
    return (b'{"message": "File analyzed successfully", "meeting_id": "' + b"0" * size)[: size - 2] + b'"}'


def snippet(body):
    """Prepare the Python snippet of MeetGeek's documentation."""
    received = hmac.new(KEY, body, hashlib.sha256).hexdigest()
    return lambda: hmac.compare_digest(hmac.new(KEY, body, hashlib.sha256).hexdigest(), received)


def one_call(body):
    """Prepare the fastest that the standard library has in one call."""
    received = hmac.digest(KEY, body, "sha256")
    return lambda: hmac.compare_digest(hmac.digest(KEY, body, "sha256"), received)


def this_guard(body, *, secrets=1, chunk=None):
    """Prepare what the guard does with a body: the header checked, the body kept and hashed, the signature compared."""
    keys = keys_from([SECRET, *(f"{SECRET}-{number}" for number in range(1, secrets))])
    header = hmac.new(KEY, body, hashlib.sha256).hexdigest().encode()
    chunks = [body] if chunk is None else [body[start : start + chunk] for start in range(0, len(body), chunk)]

    def verify():
        signature, length = check_header([header], None, math.inf)
        verification = Verification(keys, signature, length, math.inf)
        for piece in chunks:
            verification.update(piece)
        return verification.finish().key_id is None

    return verify


def webhook(body, given):
    """Prepare `Webhook.verify`, given the signature itself or the header fields of a request."""
    verify = MeetGeekWebhook(SECRET).verify
    signature = hmac.new(KEY, body, hashlib.sha256).hexdigest()
    fields = {
        "Host": "receiver.example",
        "Content-Type": "application/json",
        "User-Agent": "MeetGeek",
        "Accept": "*/*",
        "Content-Length": str(len(body)),
        "X-MG-Signature": signature,
    }
    headers = {"signature": signature, "fields": fields}[given]
    return lambda: verify(body, headers)


def gidgethub(body):
    received = f"sha256={hmac.new(KEY, body, hashlib.sha256).hexdigest()}"

    def verify():
        sansio.validate_event(body, signature=received, secret=SECRET)
        return True

    return verify


def slack_sdk(body):
    now = str(int(time.time()))
    verifier = SignatureVerifier(SECRET)
    received = verifier.generate_signature(timestamp=now, body=body)
    return lambda: verifier.is_valid(body, now, received)


def stripe(body):
    now = int(time.time())
    received = hmac.new(KEY, f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return lambda: WebhookSignature.verify_header(body.decode(), f"t={now},v1={received}", SECRET, 3600)


def _standard_webhook(body, webhook, prefix):
    now = str(int(time.time()))
    digest = hmac.digest(KEY, b"id." + now.encode() + b"." + body, "sha256")
    headers = {
        f"{prefix}-id": "id",
        f"{prefix}-timestamp": now,
        f"{prefix}-signature": f"v1,{base64.b64encode(digest).decode()}",
    }

    def verify():
        webhook.verify(body, headers)
        return True

    return verify


def standardwebhooks(body):
    return _standard_webhook(body, Webhook(base64.b64encode(KEY).decode()), "webhook")


def svix(body):
    return _standard_webhook(body, SvixWebhook(base64.b64encode(KEY).decode()), "svix")


def twilio(body):
    validator = RequestValidator(SECRET)
    url = f"https://example.org/webhook?bodySHA256={hashlib.sha256(body).hexdigest()}"
    received = validator.compute_signature(url, {})
    text = body.decode()
    return lambda: validator.validate(url, text, received)


PEERS = {
    "gidgethub": gidgethub,
    "slack-sdk": slack_sdk,
    "stripe": stripe,
    "standardwebhooks": standardwebhooks,
    "svix": svix,
    "twilio": twilio,
}
