"""Django, whose route ignores letter case and a final slash here: asgi.py and wsgi.py of one project."""

import asyncio

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt
from django_project import asgi_application, wsgi_application

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware


@csrf_exempt
async def answer_stream(request):
    # Django listens for a disconnect while an asynchronous view runs.
    await asyncio.sleep(0.05)
    return StreamingHttpResponse(PIECES["asgi" if hasattr(request, "scope") else "wsgi"]())


PIECES = {}


def routes(record, other_routes):
    @csrf_exempt
    def receive_webhook(request):
        record(request, request.body)
        return HttpResponse("received")

    def answer_elsewhere(request):
        return HttpResponse("elsewhere")

    return (
        re_path(r"(?i)^webhooks/meetgeek/?$", receive_webhook),
        path("webhooks/meetgeek/stream", answer_stream),
        *(path(route.removeprefix("/"), answer_elsewhere) for route in other_routes),
    )


def build_asgi(record, pieces, other_routes):
    PIECES["asgi"] = pieces
    return asgi_application(routes(record, other_routes))


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")


def build_wsgi(record, pieces, other_routes):
    PIECES["wsgi"] = pieces
    return wsgi_application(routes(record, other_routes))


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")
