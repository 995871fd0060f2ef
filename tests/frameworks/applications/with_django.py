"""Django, whose route ignores letter case and a final slash here: asgi.py and wsgi.py of one project."""

import asyncio

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware


@csrf_exempt
async def answer_stream(request):
    # Django listens for a disconnect while an asynchronous view runs.
    await asyncio.sleep(0.05)
    return StreamingHttpResponse(PIECES["asgi" if hasattr(request, "scope") else "wsgi"]())


PIECES = {}


def configure(record, other_routes):
    """Settings are one for the process: whichever application is built first makes them for both."""

    @csrf_exempt
    def receive_webhook(request):
        record(request, request.body)
        return HttpResponse("received")

    def answer_elsewhere(request):
        return HttpResponse("elsewhere")

    if not settings.configured:
        settings.configure(
            SECRET_KEY="only for the tests",
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=(
                re_path(r"(?i)^webhooks/meetgeek/?$", receive_webhook),
                path("webhooks/meetgeek/stream", answer_stream),
                *(path(route.removeprefix("/"), answer_elsewhere) for route in other_routes),
            ),
            # Django REST framework asks who it is otherwise, and wants the database for that.
            REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
        )


def build_asgi(record, pieces, other_routes):
    PIECES["asgi"] = pieces
    configure(record, other_routes)
    return get_asgi_application()


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")


def build_wsgi(record, pieces, other_routes):
    PIECES["wsgi"] = pieces
    configure(record, other_routes)
    return get_wsgi_application()


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")
