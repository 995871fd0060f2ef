"""Django, whose route ignores letter case and a final slash here: the applications of one project."""

import asyncio
from types import ModuleType

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
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


def configure():
    """Settings are one for the process, and other tests may have made them: the routes are each application's own."""
    if not settings.configured:
        settings.configure(
            SECRET_KEY="only for the tests",
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=(),  # set_urlconf asks for it
            # Django REST framework asks who it is otherwise, and wants the database for that.
            REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
        )
    django.setup(set_prefix=False)


def handler_of(handler_class, patterns):
    """A project with these routes, beside the one that the settings name."""
    urls = ModuleType("urls")
    urls.urlpatterns = patterns

    class Handler(handler_class):
        def resolve_request(self, request):
            request.urlconf = urls
            return super().resolve_request(request)

    return Handler()


def with_routes(handler_class, record, other_routes):
    @csrf_exempt
    def receive_webhook(request):
        record(request, request.body)
        return HttpResponse("received")

    return handler_of(
        handler_class,
        [
            re_path(r"(?i)^webhooks/meetgeek/?$", receive_webhook),
            path("webhooks/meetgeek/stream", answer_stream),
            *elsewhere(other_routes),
        ],
    )


def elsewhere(routes):
    def answer_elsewhere(request):
        return HttpResponse("elsewhere")

    return [path(route.removeprefix("/"), answer_elsewhere) for route in routes]


def build_asgi(record, pieces, other_routes):
    PIECES["asgi"] = pieces
    configure()
    return with_routes(ASGIHandler, record, other_routes)


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")


def build_wsgi(record, pieces, other_routes):
    PIECES["wsgi"] = pieces
    configure()
    return with_routes(WSGIHandler, record, other_routes)


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")
