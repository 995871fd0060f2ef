"""No secret stays in a local variable of a frame of ours: error reporters store those of every traceback."""

import asyncio
import traceback
import warnings
from io import BytesIO

import pytest
from cases import SUCCEEDED, signed
from exchange import Connection, each, http_scope, request_events, wsgi_environ

from mg_middleware import (
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    Webhook,
    explain_mismatch,
    sign,
    verify,
)
from mg_middleware.django import meetgeek_webhook

SECRET = "whsec_kept_out_of_frames"


async def asgi_app(scope, receive, send):
    raise AssertionError("not reached")


def wsgi_app(environ, start_response):
    raise AssertionError("not reached")


class Wrapped:
    """As pydantic's SecretStr: it shows nothing by itself."""

    def __init__(self, *secrets):
        self._secrets = list(secrets)

    def get_secret_value(self):
        if len(self._secrets) > 1:
            return self._secrets.pop(0)
        raise LookupError("the vault is closed")


class Chained:
    """Its own error comes of one of ours."""

    def get_secret_value(self):
        try:
            Webhook(["", SECRET])
        except ValueError as error:
            raise LookupError("the vault is closed") from error


BAD_SECRETS = {
    "a blank one among others": [SECRET, " "],
    "a number among others": [SECRET, 5],
    "not UTF-8": f"{SECRET}\ud800",
    "a bytearray": bytearray(SECRET.encode()),
    "a mapping of mappings": {"name": {"nested": SECRET}},
    "a name that is no text": {5: SECRET},
    "a name without secrets": {"name": SECRET, "other": []},
    "white space at its end, as an error": f"{SECRET}\n",
    "two names for one key, as an error": {"first": SECRET, "second": f"{SECRET}\0"},
    "a wrapped one that raises later": [SECRET, Wrapped()],
    "a wrapped one that fails after another": [SECRET, Chained()],
    "a wrapped one that is blank": Wrapped(SECRET + "\ud800", "unused"),
}
CONSTRUCTIONS = {
    "Webhook": Webhook,
    "sign": lambda secret: sign(secret, SUCCEEDED),
    "verify": lambda secret: verify(secret, SUCCEEDED, None),
    "explain_mismatch": lambda secret: explain_mismatch(secret, SUCCEEDED, "0" * 64),
    "asgi": lambda secret: MeetGeekASGIMiddleware(asgi_app, secret),
    "wsgi": lambda secret: MeetGeekWSGIMiddleware(wsgi_app, secret),
    "django": lambda secret: meetgeek_webhook(secret=secret),
}
BESIDE_A_GOOD_SECRET = {
    "a body of text to sign": lambda: sign(SECRET, "text"),
    "a body of text to verify": lambda: verify(SECRET, "text", None),
    "a body of text to explain": lambda: explain_mismatch(SECRET, "text", None),
    "bad paths, asgi": lambda: MeetGeekASGIMiddleware(asgi_app, SECRET, paths=5),
    "bad paths, wsgi": lambda: MeetGeekWSGIMiddleware(wsgi_app, SECRET, paths=[]),
    "a bad size": lambda: MeetGeekASGIMiddleware(asgi_app, [SECRET], max_body_size=-1),
    "a bad store": lambda: MeetGeekWSGIMiddleware(wsgi_app, {"name": SECRET}, idempotency_store=5),
    "bad events": lambda: MeetGeekASGIMiddleware(asgi_app, SECRET, events="all"),
    "the arguments swapped": lambda: MeetGeekASGIMiddleware(SECRET, asgi_app),
    "the secret as the application": lambda: MeetGeekWSGIMiddleware(SECRET),
    "an application of the other protocol": lambda: MeetGeekASGIMiddleware(wsgi_app, SECRET),
    "a mistyped secret=": lambda: MeetGeekASGIMiddleware(asgi_app, secrets=SECRET),
    "a mistyped secret= of a Webhook": lambda: Webhook(secrets=SECRET),
    "too many arguments": lambda: MeetGeekASGIMiddleware(asgi_app, SECRET, "/hook"),
    "a mistyped option of Django": lambda: meetgeek_webhook(secret=SECRET, acknowlege=True),
    "an option of Django of another type": lambda: meetgeek_webhook(secret=SECRET, max_body_size="1"),
}


def errors_of(error):
    """The error and all that it came from."""
    found, open_ = [], [error]
    while open_:
        one = open_.pop()
        if one is not None and one not in found:
            found.append(one)
            open_ += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return found


def shown_in_frames(error):
    """What the frames of the package show, and what the error itself says."""
    shown = ["".join(traceback.format_exception(error))]
    for one in errors_of(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_globals["__name__"].startswith("mg_middleware"):
                shown += [
                    f"{name} = {value!r} {getattr(value, '__dict__', '')!r}" for name, value in frame.f_locals.items()
                ]
    return "\n".join(shown)


def raised_by(call, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, its frames are searched
            return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("construct", each(CONSTRUCTIONS))
@pytest.mark.parametrize("secret", each(BAD_SECRETS))
def test_a_bad_secret(construct, secret):
    assert SECRET not in shown_in_frames(raised_by(construct, secret))


@pytest.mark.parametrize("call", each(BESIDE_A_GOOD_SECRET))
def test_another_mistake_beside_a_good_secret(call):
    assert SECRET not in shown_in_frames(raised_by(call))


async def later(secret):
    await asyncio.sleep(0)
    return secret


def asked_on_asgi(secret):
    connection = Connection(*request_events(SUCCEEDED))
    middleware = MeetGeekASGIMiddleware(asgi_app, secret)
    asyncio.run(middleware(http_scope(signed(SUCCEEDED)), connection.receive, connection.send))


def asked_on_wsgi(secret):
    environ = wsgi_environ(signed(SUCCEEDED), BytesIO(SUCCEEDED), CONTENT_LENGTH=str(len(SUCCEEDED)))
    MeetGeekWSGIMiddleware(wsgi_app, secret)(environ, print)


@pytest.mark.parametrize("secret", each(BAD_SECRETS))
@pytest.mark.parametrize(
    ("ask", "callable_of"),
    [
        (asked_on_asgi, lambda secret: lambda scope: secret),
        (asked_on_asgi, lambda secret: lambda scope: later(secret)),
        (asked_on_wsgi, lambda secret: lambda environ: secret),
    ],
    ids=["asgi", "asgi, async", "wsgi"],
)
def test_a_bad_secret_from_a_callable(ask, callable_of, secret):
    assert SECRET not in shown_in_frames(raised_by(ask, callable_of(secret)))


def test_what_this_searches_is_found():
    def fails():
        word = SECRET  # noqa: F841 - to be found
        raise LookupError

    fails.__globals__["__name__"], name = "mg_middleware.made_up", fails.__globals__["__name__"]
    try:
        assert SECRET in shown_in_frames(raised_by(fails))
    finally:
        fails.__globals__["__name__"] = name


def test_no_piece_of_the_body_is_left_where_reading_it_fails():
    pieces = [{"type": "http.request", "body": SUCCEEDED[:40], "more_body": True}]

    async def receive():
        if pieces:
            return pieces.pop()
        raise OSError("the connection is lost")

    guarded = MeetGeekASGIMiddleware(asgi_app, SECRET)
    with pytest.raises(OSError, match="lost") as raised:
        asyncio.run(guarded(http_scope(signed(SUCCEEDED)), receive, None))
    ours = [frame for frame, _ in traceback.walk_tb(raised.tb) if "mg_middleware" in frame.f_code.co_filename]
    assert ours
    assert SUCCEEDED[:40].decode() not in repr([frame.f_locals for frame in ours])
