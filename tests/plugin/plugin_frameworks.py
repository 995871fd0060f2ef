"""Right receivers, one for each framework, each as its users write it; `seen` keeps the bytes that arrived."""

import os
import subprocess
import sys
from pathlib import Path

from plugin_receivers import Right

PATH = "/hooks/meetgeek"
TESTS = Path(__file__).parent
SECRET = b"meetgeek-test-secret"

seen = []


def run_alone(code):
    """Run code in a process of its own: Django is configured once in each, and other tests have their own settings."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "checks")])}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=TESTS.parents[1], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def process(event):
    """The work; the suite counts its runs."""


class Judge(Right):
    secret = SECRET

    def handle(self, event):
        process(event)

    def answer(self, method, headers, body):
        headers = [(name.lower(), value) for name, value in headers]
        seen.append((body, self.signatures(headers)))
        return super().answer(method, headers, body)


def plain_asgi():
    return Judge().asgi


def plain_wsgi():
    return Judge().wsgi


def starlette():
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    judge = Judge()

    async def hook(request):
        status, body = judge.answer(request.method, request.headers.items(), await request.body())
        return Response(body, status)

    return Starlette(routes=[Route(PATH, hook, methods=["POST"])])


def fastapi():
    from fastapi import FastAPI, Request, Response

    judge, app = Judge(), FastAPI()

    @app.post(PATH)
    async def hook(request: Request):
        status, body = judge.answer(request.method, request.headers.items(), await request.body())
        return Response(body, status)

    return app


def flask():
    from flask import Flask, request

    judge, app = Judge(), Flask(__name__)

    @app.post(PATH)
    def hook():
        status, body = judge.answer(request.method, list(request.headers), request.get_data())
        return body, status

    return app


def quart():
    from quart import Quart, request

    judge, app = Judge(), Quart(__name__)

    @app.post(PATH)
    async def hook():
        status, body = judge.answer(request.method, list(request.headers), await request.get_data())
        return body, status

    return app


def litestar():
    from litestar import Litestar, Request, Response, post

    judge = Judge()

    @post(PATH)
    async def hook(request: Request) -> Response:
        status, body = judge.answer(request.method, request.headers.multi_items(), await request.body())
        return Response(body, status_code=status)

    return Litestar([hook])


def falcon():
    import falcon.asgi

    judge, app = Judge(), falcon.asgi.App()

    class Hook:
        async def on_post(self, request, response):
            body = await request.stream.read()
            response.status, response.data = judge.answer(request.method, request.headers.items(), body)

    app.add_route(PATH, Hook())
    return app


def falcon_wsgi():
    import falcon

    judge, app = Judge(), falcon.App()

    class Hook:
        def on_post(self, request, response):
            body = request.bounded_stream.read()
            response.status, response.data = judge.answer(request.method, request.headers.items(), body)

    app.add_route(PATH, Hook())
    return app


def _django():
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt
    from django.views.decorators.http import require_POST

    judge = Judge()

    @csrf_exempt
    @require_POST
    def hook(request):
        status, body = judge.answer(request.method, request.headers.items(), request.body)
        return HttpResponse(body, status=status)

    sys.modules[__name__].urlpatterns = [path(PATH[1:], hook)]
    settings.configure(
        SECRET_KEY="for-tests",
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
        LOGGING_CONFIG=None,
    )
    django.setup()


def django_wsgi():
    from django.core.handlers.wsgi import WSGIHandler

    _django()
    return WSGIHandler()


def django_asgi():
    from django.core.handlers.asgi import ASGIHandler

    _django()
    return ASGIHandler()


FRAMEWORKS = {
    factory.__name__: factory
    for factory in (
        plain_asgi,
        plain_wsgi,
        starlette,
        fastapi,
        flask,
        django_wsgi,
        django_asgi,
        quart,
        litestar,
        falcon,
        falcon_wsgi,
    )
}
