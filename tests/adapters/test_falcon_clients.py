"""Falcon's test clients, which hand over what no server does: header pairs and a client that can be read but once."""

import asyncio

import falcon.asgi
import pytest
from cases import GENUINE, SECRET, SUCCEEDED
from falcon import testing

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, delivery_of

PATH = "/webhooks/meetgeek"


class Resource:
    def __init__(self):
        self.deliveries = []
        self.headers = []

    def on_post(self, req, resp):
        delivery = delivery_of(req)
        assert req.bounded_stream.read() == delivery.body
        self.deliveries.append(delivery)
        self.headers.append(dict(req.headers))
        resp.media = {}


class AsyncResource(Resource):
    async def on_post(self, req, resp):
        delivery = delivery_of(req)
        assert await req.bounded_stream.read() == delivery.body
        self.deliveries.append(delivery)
        self.headers.append(dict(req.headers))
        assert req.remote_addr == "127.0.0.1"
        resp.media = {}


def wsgi(**options):
    resource = Resource()
    app = falcon.App()
    app.add_route(PATH, resource)
    app.add_route("/elsewhere", resource)
    return testing.TestClient(MeetGeekWSGIMiddleware(app, SECRET, **options)), resource


def asgi(**options):
    resource = AsyncResource()
    app = falcon.asgi.App()
    app.add_route(PATH, resource)
    app.add_route("/elsewhere", resource)
    return testing.TestClient(MeetGeekASGIMiddleware(app, SECRET, **options)), resource


@pytest.mark.parametrize("build", [wsgi, asgi])
@pytest.mark.parametrize("options", [{}, {"paths": PATH}], ids=["every path", "one path"])
class TestClients:
    def test_a_genuine_delivery_reaches_the_resource(self, build, options):
        client, resource = build(**options)
        response = client.simulate_post(
            PATH, body=SUCCEEDED, headers={"X-MG-Signature": GENUINE.decode(), "X-Other": "kept"}
        )
        assert response.status_code == 200
        assert [delivery.body for delivery in resource.deliveries] == [SUCCEEDED]
        assert {name.lower(): value for name, value in resource.headers[0].items()}["x-other"] == "kept"

    @pytest.mark.parametrize("headers", [{}, {"X-MG-Signature": "0" * 64}], ids=["unsigned", "forged"])
    def test_another_gets_401(self, build, options, headers):
        client, resource = build(**options)
        assert client.simulate_post(PATH, body=SUCCEEDED, headers=headers).status_code == 401
        assert resource.deliveries == []

    def test_a_body_that_is_too_large_gets_413(self, build, options):
        client, resource = build(**options)
        assert (
            client.simulate_post(PATH, body=b"x" * 1_048_577, headers={"X-MG-Signature": "0" * 64}).status_code == 413
        )
        assert resource.deliveries == []


@pytest.mark.parametrize("build", [wsgi, asgi])
def test_a_path_that_is_not_guarded_passes(build):
    client, resource = build(paths=PATH)
    response = client.simulate_post("/elsewhere", body=SUCCEEDED, headers={"X-MG-Signature": GENUINE.decode()})
    assert response.status_code == 500  # Falcon's response to the LookupError
    assert resource.deliveries == []


def test_the_asgi_conductor_goes_through_the_guard():
    client, resource = asgi()

    async def run():
        async with testing.ASGIConductor(client.app) as conductor:
            return await conductor.simulate_post(PATH, body=SUCCEEDED, headers={"X-MG-Signature": GENUINE.decode()})

    assert asyncio.run(run()).status_code == 200
    assert len(resource.deliveries) == 1
