"""The receivers that the tests of the plugin's output name on the command line."""

import hashlib

from plugin_receivers import Right


def process(event):
    """The work; the suite counts its runs."""


class Shop(Right):
    secret = b"meetgeek-test-secret"

    def handle(self, event):
        process(event)


class KeyErrorShop(Shop):
    def process(self, body):
        event = self.parse(body)
        if isinstance(event, dict) and event.get("message") == "File analyzed failed":
            return event["meeting_id"]
        return super().process(body)


class ForgetfulShop(Shop):
    def process(self, body):
        self.done.clear()
        return super().process(body)


class LeakyShop(Shop):
    refusal = (401, b"the secret is meetgeek-test-secret")


class OtherSecretShop(Shop):
    secret = b"another secret"


class UnkeyedShop(Shop):
    def true_signature(self, body):
        return hashlib.sha256(body).hexdigest()


class CarelessShop(Shop):
    def is_genuine(self, headers, body):
        return True


class ElsewhereShop(Shop):
    def answer(self, method, headers, body):
        return (404, b"")


async def broken_start(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})


async def broken_stop(scope, receive, send):
    if scope["type"] != "lifespan":
        return await app(scope, receive, send)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise ValueError("the pool is open")


def ambiguous(*arguments):
    """Neither ASGI nor WSGI, as far as one can tell."""


app = Shop().asgi
wsgi_app = Shop().wsgi
key_error = KeyErrorShop().asgi
forgetful = ForgetfulShop().asgi
leaky = LeakyShop().asgi
other_secret = OtherSecretShop().asgi
unkeyed = UnkeyedShop().asgi
elsewhere = ElsewhereShop().wsgi
careless = CarelessShop().asgi
number = 5


def raising():
    """A factory without what it needs."""
    raise ValueError("no configuration")
