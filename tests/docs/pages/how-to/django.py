import logging
import logging.config

from steps import after, check, deliver


@after(file="mysite/wsgi.py")
def genuine_deliveries_are_processed_on_wsgi(page):
    check("mysite.wsgi:application")


@after(file="mysite/asgi.py")
def genuine_deliveries_are_processed_on_asgi(page):
    check("mysite.asgi:application")


@after(file="test_client.py")
def the_test_client_goes_past_the_guard(page):
    from django.test.utils import setup_test_environment

    setup_test_environment()  # as every test runner for Django does
    import test_client

    test_client.test_the_test_client_goes_past_the_guard()


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
    deliver("mysite.wsgi:application", signature="")
    assert len(records) == 1
