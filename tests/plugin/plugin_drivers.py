"""Small apps and event loops for the tests of the drivers."""

import asyncio

import trio

from pytest_meetgeek import MeetGeek

SECRET = "a-shared-secret"
MEETGEEK = MeetGeek(SECRET, seed="x")
REQUEST = MEETGEEK.analyzed()


async def run_on_asyncio(work):
    return await work()


RUNNERS = {
    "asyncio": lambda work: asyncio.run(run_on_asyncio(work)),
    "trio": trio.run,
}


class Lively:
    """An ASGI app with a lifespan that notes what happens; `fail` names the phase that goes wrong."""

    def __init__(self, fail=None, statuses=(200,), body=b""):
        self.events, self.fail, self.statuses, self.body = [], fail, list(statuses), body

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            await self.phase("startup", send)
            scope["state"]["key"] = "value"
            if self.fail == "returns":
                return
            assert (await receive())["type"] == "lifespan.shutdown"
            await self.phase("shutdown", send)
            if self.fail == "lingers":
                await receive()
                await Sleep.forever()
        else:
            self.events.append(scope["state"].get("key"))
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": self.body})

    async def phase(self, name, send):
        self.events.append(name)
        if self.fail == name:
            return await send({"type": f"lifespan.{name}.failed", "message": "no database"})
        if self.fail == f"{name} raises":
            raise ValueError("no database")
        if self.fail == f"{name} hangs":
            await Sleep.forever()
        return await send({"type": f"lifespan.{name}.complete"})


class Sleep:
    @staticmethod
    async def forever():
        try:
            await asyncio.sleep(60)
        except RuntimeError:
            await trio.sleep(60)


def one_response(*messages):
    """An ASGI app without a lifespan that sends these messages."""

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        for message in messages:
            if isinstance(message, BaseException):
                raise message
            await send(message)

    return app


START = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]}
END = {"type": "http.response.body", "body": b"ok"}


def sync_wsgi(environ, start_response):
    start_response("200 OK", [])
    return []


def wsgi_calls(*calls):
    def app(environ, start_response):
        for number, exc_info in enumerate(calls):
            if exc_info == "write":
                start_response("200 OK", [])(b"x")
            elif exc_info:
                error = ValueError("mine")
                start_response(f"50{number} No", [], (ValueError, error, None))
            else:
                start_response("200 OK", [])
        return []

    return app
