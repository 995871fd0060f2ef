"""Deliveries for unit tests of a handler, without the guard, and the conformance test for stores.

Not for a test of the whole receiver: send it signed requests, with the fixtures of the pytest plugin or with
`mg_middleware.sign`, so that the guard is tested, too. And never for a running server: what these functions return says
that a request was verified when nothing was.
"""

from __future__ import annotations

import json
import uuid
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mg_middleware.delivery import DELIVERY_KEY, Delivery
from mg_middleware.events import FAILED, SUCCEEDED
from mg_middleware.idempotency.conformance import check_store
from mg_middleware.webhook import Webhook

if TYPE_CHECKING:
    from typing import Literal

__all__ = ["check_store", "make_delivery", "verified_environ", "verified_scope"]

# It protects nothing: a handler never sees the secret.
_SECRET = "whsec_for_unit_tests_of_handlers"


def make_delivery(
    kind: Literal["success", "failed"],
    *,
    meeting_id: str | None = None,
    body: bytes | None = None,
    key_id: str | None = None,
) -> Delivery:
    """Create a delivery for a unit test of a handler.

    Not for a test of the guard, which would refuse it: its signature is that of a made-up secret.

    Args:
        kind: MeetGeek's event: "success" for "File analyzed successfully", "failed" for "File analyzed failed".
        meeting_id: the meeting's id, for "success"; `None` makes up a UUID.
        body: the exact body, for an event with another form; replaces the one of `kind`.
        key_id: the name of the secret, as if your secrets had names.

    Returns:
        The delivery, as `delivery_of` returns it.

    Raises:
        TypeError: `body` is not bytes, or `meeting_id` is given for an event that has none.
        ValueError: `kind` is neither "success" nor "failed".

    Example:
        handle(make_delivery("success", meeting_id="5e0a3b1c"))
    """
    if kind not in {"success", "failed"}:
        raise ValueError(f'kind must be "success" or "failed", not {kind!r}')
    if meeting_id is not None and (kind == "failed" or body is not None):
        raise TypeError('meeting_id only works with make_delivery("success") and without body=')
    if body is None:
        event = {"message": FAILED}
        if kind == "success":
            event = {"message": SUCCEEDED, "meeting_id": str(uuid.uuid4()) if meeting_id is None else meeting_id}
        body = json.dumps(event).encode()
    elif not isinstance(body, bytes):
        raise TypeError(f"body must be bytes, not {type(body).__name__}")
    webhook = Webhook(_SECRET if key_id is None else {key_id: _SECRET})
    return webhook.verify(body, webhook.sign(body))


def verified_environ(delivery: Delivery) -> dict[str, Any]:
    """Return the part of a WSGI environ that the guard sets for a verified delivery, with its body.

    For one request: it holds the body as a file, which can be read once.

    Args:
        delivery: the delivery.

    Returns:
        A dictionary to give as keywords to Django's `RequestFactory` and `Client`, as `environ_overrides=` to Flask's
        test client, or to update an environ with.

    Example:
        response = receive(RequestFactory().post("/", **verified_environ(make_delivery("success"))))
    """
    return {
        DELIVERY_KEY: delivery,
        "HTTP_X_MG_SIGNATURE": delivery.signature,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(delivery.body)),
        "wsgi.input": BytesIO(delivery.body),
    }


def verified_scope(delivery: Delivery) -> dict[str, Any]:
    """Return the part of an ASGI scope that the guard sets for a verified delivery.

    It brings no body, which isn't in a scope: a handler finds it in `delivery_of(request).body`.

    Args:
        delivery: the delivery.

    Returns:
        A dictionary to update a scope with, such as `request.scope` of Starlette, FastAPI and Django's
        `AsyncRequestFactory`.

    Example:
        request.scope.update(verified_scope(make_delivery("success")))
    """
    return {DELIVERY_KEY: delivery}
