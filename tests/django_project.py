"""Several Django projects in one process, which has room for the settings of one."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application


def take_over(urlpatterns, middleware=()):
    """Make the settings those of the project with these routes and middleware."""
    if not settings.configured:
        settings.configure(SECRET_KEY="only for the tests", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
        django.setup()
    settings.ROOT_URLCONF = tuple(urlpatterns)
    settings.MIDDLEWARE = list(middleware)


def asgi_application(urlpatterns, middleware=()):
    take_over(urlpatterns, middleware)
    handler = get_asgi_application()

    async def application(scope, receive, send):
        settings.ROOT_URLCONF = tuple(urlpatterns)
        await handler(scope, receive, send)

    return application


def wsgi_application(urlpatterns, middleware=()):
    take_over(urlpatterns, middleware)
    handler = get_wsgi_application()

    def application(environ, start_response):
        settings.ROOT_URLCONF = tuple(urlpatterns)
        return handler(environ, start_response)

    return application
