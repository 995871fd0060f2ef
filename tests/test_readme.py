"""What the README shows is so: its application runs and passes the check, and each of its lines guards."""

import re
import subprocess
import sys
from pathlib import Path

import bottle
import falcon
import falcon.asgi
import fastapi
import flask
import litestar
import pytest
import quart
import starlette.applications
import starlette.responses
import starlette.routing

import mg_middleware
from pytest_meetgeek import CHECKS, MeetGeek

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LINES = dict(re.findall(r"^\| (.+?) \| `(.+?)` \|$", README, re.MULTILINE))
PATH = "/webhooks/meetgeek"
SECRET = "whsec_of_the_readme"


class Hook:
    def on_post(self, request, response):
        response.text = "ran"


class AsyncHook:
    async def on_post(self, request, response):
        response.text = "ran"


async def run_async(request):
    return starlette.responses.PlainTextResponse("ran")


@litestar.post(PATH)
async def run_litestar() -> str:
    return "ran"


def with_fastapi():
    app = fastapi.FastAPI()
    app.post(PATH)(lambda: "ran")
    return app


def with_starlette():
    return starlette.applications.Starlette(routes=[starlette.routing.Route(PATH, run_async, methods=["POST"])])


def with_falcon(app, hook):
    app.add_route(PATH, hook)
    return app


def with_quart():
    app = quart.Quart("with_quart")

    @app.post(PATH)
    async def run():
        return "ran"

    return app


def with_flask():
    app = flask.Flask("with_flask")
    app.post(PATH)(lambda: "ran")
    return app


def with_bottle():
    app = bottle.Bottle()
    app.post(PATH)(lambda: "ran")
    return app


def with_pyramid():
    import pyramid.config  # noqa: PLC0415 - it warns, and that is ignored where it is built
    import pyramid.response  # noqa: PLC0415

    with pyramid.config.Configurator() as config:
        config.add_route("hook", PATH)
        config.add_view(lambda request: pyramid.response.Response("ran"), route_name="hook")
        return config.make_wsgi_app()


@pytest.mark.parametrize(
    ("row", "build"),
    [
        pytest.param("FastAPI, Starlette", with_fastapi, id="FastAPI"),
        pytest.param("FastAPI, Starlette", with_starlette, id="Starlette"),
        pytest.param("Litestar, Falcon (ASGI)", lambda: litestar.Litestar([run_litestar]), id="Litestar"),
        pytest.param(
            "Litestar, Falcon (ASGI)", lambda: with_falcon(falcon.asgi.App(), AsyncHook()), id="Falcon on ASGI"
        ),
        pytest.param("Quart", with_quart, id="Quart"),
        pytest.param("Flask", with_flask, id="Flask"),
        pytest.param("Bottle, Falcon (WSGI), Pyramid", with_bottle, id="Bottle"),
        pytest.param("Bottle, Falcon (WSGI), Pyramid", lambda: with_falcon(falcon.App(), Hook()), id="Falcon-WSGI"),
        pytest.param("Bottle, Falcon (WSGI), Pyramid", with_pyramid, id="Pyramid"),
    ],
)
@pytest.mark.filterwarnings(
    "ignore:pkg_resources is deprecated",
    "ignore:Deprecated call to `pkg_resources.declare_namespace",  # Paste, under Pyramid
    "ignore:'cgi' is deprecated",
)
def test_the_line_guards(row, build, monkeypatch):
    monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
    names = {**vars(mg_middleware), "app": build()}
    for name in ("MeetGeekASGIMiddleware", "MeetGeekWSGIMiddleware"):
        names[name] = getattr(mg_middleware, name)
    exec(LINES[row], names)  # noqa: S102 - the line as a reader types it
    meetgeek = MeetGeek(SECRET, seed="readme")
    genuine = meetgeek.deliver(names["app"], meetgeek.analyzed(), path=PATH).attempts[0]
    forged = meetgeek.deliver(names["app"], meetgeek.forged("wrong-secret"), path=PATH).attempts[0]
    assert (genuine.status // 100, b"ran" in genuine.body) == (2, True)
    assert (forged.status, b"ran" in forged.body) == (401, False)


@pytest.mark.parametrize("file", ["asgi.py", "wsgi.py"])
def test_the_lines_for_django_are_those_of_the_page_that_is_run(file):
    assert f"\n{LINES[f'Django, {file}']}\n" in (ROOT / "docs" / "how-to" / "django.md").read_text()


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The application as a reader copies it, in a folder of its own."""
    [block] = re.findall(r"Save this as `app.py`:\n\n```python\n(.+?)```", README, re.DOTALL)
    (tmp_path / "app.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
    return block


def test_the_application_is_not_longer_than_ten_lines(app):
    assert len([line for line in app.splitlines() if line]) <= 10


def test_the_application_prints_the_meetings_of_genuine_deliveries_alone(app, capsys):
    names = {"__name__": "app"}
    exec(app, names)  # noqa: S102 - as a reader runs it
    meetgeek = MeetGeek(SECRET, seed="readme")
    genuine = meetgeek.deliver(names["app"], meetgeek.analyzed("a meeting"), path=PATH).attempts[0]
    failed = meetgeek.deliver(names["app"], meetgeek.failed(), path=PATH).attempts[0]
    forged = meetgeek.deliver(names["app"], meetgeek.forged("wrong-secret"), path=PATH).attempts[0]
    assert [(each.status, each.body) for each in (genuine, failed)] == [(200, b"")] * 2
    assert forged.status == 401
    assert capsys.readouterr().out == "analyzed: a meeting\n"


@pytest.mark.usefixtures("app")
def test_the_application_passes_the_check_that_is_shown():
    [command] = re.findall(r"^mg-middleware (check .+)$", README, re.MULTILINE)
    ended = subprocess.run(
        [sys.executable, "-m", "mg_middleware", *command.split()], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " failed" not in ended.stdout


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_the_number_of_checks_is_the_suite_s(page):
    assert re.findall(r"(\d+) checks", (ROOT / page).read_text()) == [str(len(CHECKS))]


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_what_a_page_beside_it_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []
