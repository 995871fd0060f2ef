"""A Django project as `startproject` makes it, in the ways in which people run and test it."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cases import GENUINE, SUCCEEDED

pytestmark = pytest.mark.slow

SECRET = "whsec_5f1d0c9ab7"
PATH = "/webhooks/meetgeek"

VIEWS = """
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views import View

from mg_middleware import delivery_of
from mg_middleware.django import meetgeek_webhook


@meetgeek_webhook
def plain(request):
    print("processed", delivery_of(request).event, flush=True)
    return HttpResponse()


@meetgeek_webhook
async def asynchronous(request):
    return HttpResponse(delivery_of(request).event.meeting_id)


@method_decorator(meetgeek_webhook, name="dispatch")
class OfAClass(View):
    def post(self, request):
        return HttpResponse(delivery_of(request).event.meeting_id)
"""

URLS = """
from django.urls import path

from mysite import views

urlpatterns = [
    path("webhooks/meetgeek", views.plain),
    path("webhooks/async", views.asynchronous),
    path("webhooks/class", views.OfAClass.as_view()),
]
"""

TESTS = """
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from django.test import AsyncClient, Client, LiveServerTestCase, TestCase, TransactionTestCase, override_settings

from mg_middleware import sign

BODY = b'{"message": "File analyzed successfully", "meeting_id": "one"}'
ROUTES = ("/webhooks/meetgeek", "/webhooks/async", "/webhooks/class")


def signed(secret="whsec_5f1d0c9ab7"):
    return {"X-MG-Signature": sign(secret, BODY)}


class Clients(TestCase):
    def test_the_client(self):
        for route in ROUTES:
            self.assertEqual(self.client.post(route, BODY, "application/json", headers=signed()).status_code, 200)
            self.assertEqual(self.client.post(route, BODY, "application/json").status_code, 401)

    def test_csrf_checks(self):
        for route in ROUTES:
            client = Client(enforce_csrf_checks=True)
            self.assertEqual(client.post(route, BODY, "application/json", headers=signed()).status_code, 200)

    async def test_the_async_client(self):
        for route in ROUTES:
            for client in (self.async_client, AsyncClient(enforce_csrf_checks=True)):
                response = await client.post(route, BODY, "application/json", headers=signed())
                self.assertEqual(response.status_code, 200)
                self.assertEqual((await client.post(route, BODY, "application/json")).status_code, 401)

    @override_settings(MEETGEEK_WEBHOOK_SECRET="another")
    def test_the_setting_of_a_test(self):
        for route in ROUTES:
            self.assertEqual(self.client.post(route, BODY, "application/json", headers=signed()).status_code, 401)
            response = self.client.post(route, BODY, "application/json", headers=signed("another"))
            self.assertEqual(response.status_code, 200)

    @override_settings(MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                                   "django.contrib.auth.middleware.AuthenticationMiddleware",
                                   "django.contrib.auth.middleware.LoginRequiredMiddleware"])
    def test_a_site_that_requires_logins(self):
        for route in ROUTES:
            self.assertEqual(self.client.post(route, BODY, "application/json", headers=signed()).status_code, 200)
            self.assertEqual(self.client.post(route, BODY, "application/json").status_code, 401)


class Live(LiveServerTestCase):
    def test_the_live_server(self):
        for route in ROUTES:
            url = f"{self.live_server_url}{route}"
            with urlopen(Request(url, BODY, signed())) as response:
                self.assertEqual(response.status, 200)
            with self.assertRaises(HTTPError) as raised:
                urlopen(Request(url, BODY))
            raised.exception.close()
            self.assertEqual(raised.exception.code, 401)
"""

PYTEST = """
from urllib.request import Request, urlopen

from mg_middleware import sign
from mysite.tests import BODY, ROUTES, signed


def test_client(client):
    for route in ROUTES:
        assert client.post(route, BODY, "application/json", headers=signed()).status_code == 200
        assert client.post(route, BODY, "application/json").status_code == 401


def test_settings(client, settings):
    settings.MEETGEEK_WEBHOOK_SECRET = "another"
    assert client.post(ROUTES[0], BODY, "application/json", headers=signed("another")).status_code == 200


def test_live_server(live_server):
    with urlopen(Request(f"{live_server.url}{ROUTES[0]}", BODY, signed())) as response:
        assert response.status == 200


def test_rf(rf):
    from mysite.views import plain

    assert plain(rf.post("/", BODY, "application/json", headers=signed())).status_code == 200
    assert plain(rf.post("/", BODY, "application/json")).status_code == 401
"""


class Project:
    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MEETGEEK_", "DJANGO_", "COVERAGE_", "PYTEST_"))
        }
        self.run("django-admin", "startproject", "mysite", ".")
        self.write("mysite/views.py", VIEWS)
        self.write("mysite/urls.py", URLS)
        self.write("mysite/tests.py", TESTS)
        self.settings = (folder / "mysite/settings.py").read_text()

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def configure(self, *lines):
        self.write("mysite/settings.py", "\n".join([self.settings, *lines]))

    def run(self, *command, **environment):
        program = Path(sys.executable).with_name(command[0])
        return subprocess.run(
            [program if program.exists() else command[0], *command[1:]],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def manage(self, *arguments, **environment):
        return self.run("python", "manage.py", *arguments, **environment)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_manage_py_test(project):
    project.configure(f"MEETGEEK_WEBHOOK_SECRET = {SECRET!r}", "INSTALLED_APPS.append('mg_middleware.django')")
    result = project.manage("test")
    assert result.returncode == 0, result.stderr
    assert "Ran 6 tests" in result.stderr


def test_pytest_django(project):
    project.configure(f"MEETGEEK_WEBHOOK_SECRET = {SECRET!r}")
    project.write("test_webhook.py", PYTEST)
    project.write("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = mysite.settings\n")
    result = project.run("python", "-m", "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout
    assert "4 passed" in result.stdout


@pytest.mark.parametrize("command", [["check"], ["test"], ["runserver", "--noreload", "127.0.0.1:0"]], ids=" ".join)
def test_the_system_check_stops_what_runs_without_a_secret(project, command):
    project.configure("INSTALLED_APPS.append('mg_middleware.django')")
    result = project.manage(*command)
    assert result.returncode != 0
    text = " ".join(result.stderr.split())
    assert "(mg_middleware.E001)" in text
    assert "no secret is configured. Set MEETGEEK_WEBHOOK_SECRET in your settings" in text
    assert "HINT: Set MEETGEEK_WEBHOOK_SECRET in your settings or in the environment" in text


def test_the_system_check_is_content_with_a_secret(project):
    project.configure("INSTALLED_APPS.append('mg_middleware.django')")
    result = project.manage("check", MEETGEEK_WEBHOOK_SECRET=SECRET)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("wsgi_application", [True, False], ids=["as made", "without WSGI_APPLICATION"])
def test_runserver(project, wsgi_application):
    lines = [] if wsgi_application else ["del WSGI_APPLICATION"]
    project.configure(f"MEETGEEK_WEBHOOK_SECRET = {SECRET!r}", *lines)
    log = (project.folder / "log").open("w+b")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-u", "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=log, stderr=log) as server:
        try:
            length = b"Content-Length: %d\r\n" % len(SUCCEEDED)
            signature = b"X-MG-Signature: %s\r\n" % GENUINE
            chunked = b"Transfer-Encoding: chunked\r\n"
            piece = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SUCCEEDED), SUCCEEDED)
            assert status_of(port, length + signature, SUCCEEDED) == 200
            assert status_of(port, length, SUCCEEDED) == 401
            assert status_of(port, length + signature, SUCCEEDED[:-1] + b" ") == 401
            assert status_of(port, chunked + signature, piece) == 411
        finally:
            server.terminate()
    log.seek(0)
    printed = log.read().decode()
    log.close()
    assert len(re.findall("^processed", printed, re.MULTILINE)) == 1
    assert "refused POST /webhooks/meetgeek from 127.0.0.1: missing_signature" in printed


def status_of(port, fields, body):
    """Send one request as written, as soon as the server listens."""
    until = time.monotonic() + 60
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until, "the server does not start"
            time.sleep(0.05)
    with connection:
        head = b"POST /webhooks/meetgeek HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        connection.sendall(head + fields + b"\r\n" + body)
        return int(connection.recv(12).split()[1])
