"""Django REST framework: a viewset behind a router, or a class-based view with suffix patterns."""

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.urls import path
from frameworks.applications import with_django

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware


def build_asgi(record, pieces, other_routes, variant):
    with_django.PIECES["asgi"] = pieces
    with_django.configure()
    return with_routes(ASGIHandler, record, other_routes, variant)


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")


def build_wsgi(record, pieces, other_routes, variant):
    with_django.PIECES["wsgi"] = pieces
    with_django.configure()
    return with_routes(WSGIHandler, record, other_routes, variant)


def guard_wsgi(app):
    return MeetGeekWSGIMiddleware(app, paths="/webhooks/meetgeek")


def with_routes(handler_class, record, other_routes, variant):
    # They read the settings when they are imported.
    from rest_framework.routers import DefaultRouter  # noqa: PLC0415
    from rest_framework.urlpatterns import format_suffix_patterns  # noqa: PLC0415
    from rest_framework.views import APIView  # noqa: PLC0415
    from rest_framework.viewsets import ViewSet  # noqa: PLC0415

    def receive_webhook(self, request, **parameters):
        record(request, request.body)
        return HttpResponse("received")

    if variant == "with a router":
        router = DefaultRouter()
        router.trailing_slash = "/?"
        methods = {"list": receive_webhook, "create": receive_webhook}
        router.register("webhooks/meetgeek", type("Webhooks", (ViewSet,), methods), basename="webhook")
        webhook = router.urls[:-2]  # without the router's own page at "/"
    else:
        view = type("Webhook", (APIView,), {"get": receive_webhook, "post": receive_webhook})
        webhook = format_suffix_patterns([path("webhooks/meetgeek", view.as_view())])

    return with_django.handler_of(
        handler_class,
        [
            path("webhooks/meetgeek/stream", with_django.answer_stream),
            *webhook,
            *with_django.elsewhere(other_routes),
        ],
    )
