"""The verified delivery as a dependency of FastAPI, shown in the OpenAPI document."""

# No `from __future__ import annotations`: FastAPI reads the annotations of the object below, which has no globals.

from typing import Annotated, Any

from fastapi import Depends
from fastapi.openapi.models import APIKey
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from mg_middleware.delivery import Delivery, delivery_of

__all__ = ["VerifiedDelivery", "responses"]

_DESCRIPTION = "The HMAC-SHA256 of the exact raw body under the shared secret: 64 lower-case hexadecimal digits."


class _Signature(SecurityBase):
    """The header `X-MG-Signature` as a security scheme, and the delivery that the guard verified by it."""

    def __init__(self) -> None:
        self.model = APIKey.model_validate({"in": "header", "name": "X-MG-Signature", "description": _DESCRIPTION})
        self.scheme_name = "MeetGeekSignature"

    async def __call__(self, connection: HTTPConnection) -> Delivery:
        return delivery_of(connection)


VerifiedDelivery = Annotated[Delivery, Depends(_Signature())]
"""The delivery that `MeetGeekASGIMiddleware` verified, as the type of a parameter.

Not a guard by itself: without the middleware, or outside its `paths=`, a request raises `LookupError`, which is an
error of the server (500) and not of the sender.

Source: FastAPI's documentation of dependencies and security.

Example:
    @app.post("/webhooks/meetgeek", responses=responses)
    async def receive(delivery: VerifiedDelivery) -> None: ...
"""

responses: dict[int | str, dict[str, Any]] = {
    401: {
        "description": "The request carries no valid signature.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    }
}
"""What the guard responds to a request that isn't genuine, as `responses=` of a route."""
