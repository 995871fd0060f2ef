"""What becomes of a view's response before the delivery is acknowledged and its claim ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse

from mg_middleware._acknowledgement import CONTENT_FIELDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from django.http import HttpRequest

    from mg_middleware._refusals import Refusal


def response_to(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """Render the guard's own response."""
    headers = dict(refusal.wsgi_headers)
    if request.method == "HEAD":
        del headers["Content-Length"]
        return HttpResponse(status=refusal.status, headers=headers)
    return HttpResponse(refusal.body, status=refusal.status, headers=headers)


def is_successful(response: Any) -> bool:
    """Say whether the status is 2xx (RFC 9110, section 15.3). A view's mistake, such as `None`, has none."""
    return 200 <= getattr(response, "status_code", 0) < 300


def completed(response: Any, *, can_render: bool) -> Any:
    """Render a response that Django would render later, and read one that it would stream: both may fail.

    Args:
        response: the view's.
        can_render: whether the response can be rendered yet. Within a view of Django REST framework it can't.
    """
    if can_render and hasattr(response, "render") and callable(response.render):
        response = response.render()
    if getattr(response, "streaming", False):
        response.streaming_content = async_to_sync(_chunks_of)(response) if response.is_async else list(response)
    return response


async def completed_asynchronously(response: Any) -> Any:
    """Do the same on an event loop."""
    if hasattr(response, "render") and callable(response.render):
        response = await sync_to_async(response.render)()
    if getattr(response, "streaming", False):
        chunks = await _chunks_of(response) if response.is_async else await sync_to_async(_list_of)(response)
        response.streaming_content = _each(chunks)
    return response


def _list_of(response: Any) -> list[bytes]:
    return list(response)


async def _chunks_of(response: Any) -> list[bytes]:
    return [chunk async for chunk in response]


async def _each(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def acknowledgement_of(response: Any) -> HttpResponse:
    """Turn a 2xx response into the acknowledgement that MeetGeek expects: 200 and no body."""
    headers = {name: value for name, value in response.headers.items() if name.lower() not in CONTENT_FIELDS}
    acknowledgement = HttpResponse(headers=headers | {"Content-Length": "0"})
    acknowledgement.cookies = response.cookies
    for close in response._resource_closers:  # what the response holds, such as files
        call_at_close(acknowledgement, close)
    return acknowledgement


def call_at_close(response: Any, function: Callable[[], object]) -> None:
    """Have a function called once the response was sent, when Django closes it."""
    response._resource_closers.append(function)  # Django offers no other way
