import asyncio
import logging
import logging.config
from contextlib import redirect_stdout
from io import StringIO

from steps import after, check, deliver

MEETING = b'{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'


@after(file="mysite/urls.py")
def the_project_is_served(page):
    import os

    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    check(get_wsgi_application())
    check(get_asgi_application())


def posted(view):
    """What a view prints of a genuine delivery; a forged one gets 401 and prints nothing."""
    from django.test import RequestFactory
    from steps import sign

    async def response_of(signature):
        headers = {"X-MG-Signature": signature}
        response = view(RequestFactory().post("/", MEETING, content_type="application/json", headers=headers))
        return await response if hasattr(response, "__await__") else response

    with redirect_stdout(StringIO()) as printed:
        assert asyncio.run(response_of(sign(MEETING, "another secret"))).status_code == 401
        assert printed.getvalue() == ""
        response = asyncio.run(response_of(sign(MEETING)))
    assert (response.status_code, response.content) == (200, b"")
    return printed.getvalue()


@after(file="mysite/class_based.py")
def a_class_based_view_is_guarded(page):
    from mysite.class_based import ReceiveWebhook

    assert "meeting-1" in posted(ReceiveWebhook.as_view())


@after(file="mysite/rest.py")
def a_view_of_the_rest_framework_is_guarded(page):
    from mysite.rest import ReceiveWebhook

    assert "meeting-1" in posted(ReceiveWebhook.as_view())


@after(file="mysite/handler.py")
def a_handler_is_a_view(page):
    from mysite.handler import urlpatterns

    assert "meeting-1" in posted(urlpatterns[0].callback)


@after(file="mysite/wsgi.py")
def genuine_deliveries_are_processed_on_wsgi(page):
    check("mysite.wsgi:application")


@after(file="mysite/asgi.py")
def genuine_deliveries_are_processed_on_asgi(page):
    check("mysite.asgi:application")


@after(file="mysite/logging_settings.py")
def the_guard_still_logs(page):
    from mysite.logging_settings import LOGGING

    logger = logging.getLogger("mg_middleware")
    logging.config.dictConfig({"version": 1})
    assert logger.disabled
    logger.disabled = False
    logging.config.dictConfig(LOGGING)
    assert not logger.disabled
    records = []
    logger.addFilter(records.append)
    from django.core.wsgi import get_wsgi_application

    deliver(get_wsgi_application(), signature="")
    assert len(records) == 1
