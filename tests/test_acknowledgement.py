"""`acknowledge=True`: any 2xx becomes 200 with an empty body, once the application has finished it."""

import io
from itertools import chain

import pytest
from cases import SECRET, SUCCEEDED, signed
from exchange import Connection, StartResponse, body_from, each, http_scope, request_events, run, wsgi_environ
from werkzeug.wsgi import FileWrapper

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, delivery_of

SUCCESSES = [200, 201, 202, 203, 204, 206, 207, 226, 299]
OTHER_STATUSES = [199, 300, 301, 304, 400, 401, 404, 409, 422, 429, 500, 502, 503]
DROPPED = [
    "Content-Digest",
    "Content-Encoding",
    "Content-Length",
    "Content-MD5",
    "Content-Range",
    "Digest",
    "ETag",
    "Repr-Digest",
    "Trailer",
    "Transfer-Encoding",
]
KEPT = ["Content-Type", "Set-Cookie", "Set-Cookie", "X-Request-Id", "Cache-Control", "Content-Language", "Location"]


def fields_in_two_letter_cases(names):
    return [(name, f"{number}") for number, name in enumerate([*names, *map(str.upper, names), *map(str.lower, names)])]


# ASGI


class Start(dict):
    """An `http.response.start`."""

    def __init__(self, status=200, headers=(), **more):
        super().__init__(type="http.response.start", status=status, headers=list(headers), **more)


class Content(dict):
    """An `http.response.body`."""

    def __init__(self, body=b"", **more):
        super().__init__(type="http.response.body", body=body, **more)


class OwnError(Exception):
    """An error of the application."""


def sent_by(*steps, acknowledge=True):
    """What reaches the server when an application sends these events, and raises what is an error among them."""

    async def app(scope, receive, send):
        for step in steps:
            if isinstance(step, Exception):
                raise step
            await send(step)

    connection = Connection(*request_events(SUCCEEDED))
    middleware = MeetGeekASGIMiddleware(app, SECRET, acknowledge=acknowledge)
    try:
        run(middleware(http_scope(signed(SUCCEEDED)), connection.receive, connection.send))
    except OwnError:
        assert steps[-1].__class__ is OwnError
    else:
        assert OwnError not in map(type, steps)
    return connection.sent


def acknowledgement(*headers):
    return [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*headers, (b"content-length", b"0")],
            "trailers": False,
        },
        {"type": "http.response.body", "body": b"", "more_body": False},
    ]


ASGI_ANSWERS = {
    "one body": [Content(b"ok")],
    "one body that says it is the last": [Content(b"ok", more_body=False)],
    "no bytes": [Content()],
    "no key but the type": [{"type": "http.response.body"}],
    "several bodies": [Content(b"a", more_body=True), Content(b"", more_body=True), Content(b"b", more_body=False)],
    "a file by its path": [{"type": "http.response.pathsend", "path": "/file"}],
    "a file by its descriptor": [{"type": "http.response.zerocopysend", "file": 5}],
    "several pieces of a file": [
        {"type": "http.response.zerocopysend", "file": 5, "more_body": True},
        {"type": "http.response.zerocopysend", "file": 5, "more_body": False},
    ],
    "trailers behind": [Content(b"ok"), {"type": "http.response.trailers", "headers": [(b"x", b"y")]}],
    "several trailers behind": [
        Content(b"ok"),
        {"type": "http.response.trailers", "headers": [], "more_trailers": True},
        {"type": "http.response.trailers", "headers": []},
    ],
    "a body after the last": [Content(b"ok"), Content(b"again")],
}


class TestASGI:
    @pytest.mark.parametrize("status", SUCCESSES)
    def test_every_success_becomes_200_with_an_empty_body(self, status):
        assert sent_by(Start(status), Content(b"processed")) == acknowledgement()

    @pytest.mark.parametrize("events", each(ASGI_ANSWERS))
    def test_whatever_the_answer_consists_of(self, events):
        assert sent_by(Start(trailers=True), *events) == acknowledgement()

    def test_fields_that_describe_the_dropped_bytes_go(self):
        dropped = [(name.encode(), value.encode()) for name, value in fields_in_two_letter_cases(DROPPED)]
        assert sent_by(Start(206, dropped), Content(b"part")) == acknowledgement()

    def test_other_fields_stay_in_their_order(self):
        kept = [(name.encode(), value.encode()) for name, value in fields_in_two_letter_cases(KEPT)]
        headers = list(chain(kept[:5], [(b"ETag", b"1")], kept[5:]))
        assert sent_by(Start(200, headers), Content(b"ok")) == acknowledgement(*kept)

    def test_headers_may_be_absent_or_read_once(self):
        assert sent_by({"type": "http.response.start", "status": 204}, Content()) == acknowledgement()
        once = Start() | {"headers": iter([(b"X-Own", b"1")])}
        assert sent_by(once, Content()) == acknowledgement((b"X-Own", b"1"))

    def test_the_applications_headers_are_not_changed(self):
        start = Start(200, [(b"etag", b"1")])
        sent_by(start, Content(b"ok"))
        assert start == Start(200, [(b"etag", b"1")])

    @pytest.mark.parametrize("status", OTHER_STATUSES)
    def test_any_other_answer_passes_as_the_same_objects(self, status):
        events = [
            Start(status, [(b"etag", b"1"), (b"content-length", b"2")], trailers=True),
            Content(b"a", more_body=True),
            Content(b"b"),
            {"type": "http.response.trailers", "headers": []},
        ]
        assert [id(event) for event in sent_by(*events)] == [id(event) for event in events]

    @pytest.mark.parametrize(
        "events",
        [[], [Content(b"half", more_body=True)], [Content(b"", more_body=True), Content(b"half", more_body=True)]],
        ids=["at once", "half-way", "later"],
    )
    def test_an_application_that_fails_before_the_end_acknowledges_nothing(self, events):
        assert sent_by(Start(200), *events, OwnError()) == []

    @pytest.mark.parametrize("begun", [[], [Content(b"half", more_body=True)]], ids=["at once", "half-way"])
    def test_an_error_may_replace_an_answer_that_is_held_back(self, begun):
        error = [Start(500, [(b"etag", b"1")]), Content(b"a", more_body=True), Content(b"b")]
        assert [id(event) for event in sent_by(Start(200), *begun, *error)] == [id(event) for event in error]

    def test_an_answer_after_an_error_is_no_acknowledgement(self):
        events = [Start(500), Start(200), Content(b"ok")]
        assert [id(event) for event in sent_by(*events)] == [id(event) for event in events]

    def test_the_last_of_several_successes_is_acknowledged(self):
        assert sent_by(Start(202, [(b"x-own", b"1")]), Start(200), Content(b"ok")) == acknowledgement()

    def test_an_answer_after_the_acknowledgement_is_left_to_the_server(self):
        late = Start(500)
        sent = sent_by(Start(200), Content(b"ok"), late)
        assert sent == [*acknowledgement(), late]

    def test_an_application_that_never_ends_its_answer_acknowledges_nothing(self):
        assert sent_by(Start(200)) == []
        assert sent_by(Start(200), Content(b"half", more_body=True)) == []

    def test_an_application_that_fails_after_the_end_has_acknowledged(self):
        assert sent_by(Start(200), Content(b"ok"), OwnError()) == acknowledgement()

    def test_the_acknowledgement_is_sent_with_the_last_body_and_not_before(self):
        counts = []
        connection = Connection(*request_events(SUCCEEDED))

        async def app(scope, receive, send):
            for event in (Start(200), Content(b"a", more_body=True), Content(b"b")):
                await send(event)
                counts.append(len(connection.sent))

        middleware = MeetGeekASGIMiddleware(app, SECRET, acknowledge=True)
        run(middleware(http_scope(signed(SUCCEEDED)), connection.receive, connection.send))
        assert counts == [0, 0, 2]

    def test_events_that_are_no_part_of_the_answer_pass_at_once(self):
        hint = {"type": "http.response.early_hint", "links": []}
        push = {"type": "http.response.push", "path": "/style", "headers": []}
        debug = {"type": "http.response.debug", "info": {}}
        sent = sent_by(hint, Start(200), push, Content(b"a", more_body=True), debug, Content(b"b"))
        assert [id(event) for event in sent[:3]] == [id(hint), id(push), id(debug)]
        assert sent[3:] == acknowledgement()

    def test_the_body_can_be_read(self):
        bodies = []

        async def app(scope, receive, send):
            bodies.append(await body_from(receive))

        connection = Connection(*request_events(SUCCEEDED[:9], SUCCEEDED[9:]))
        middleware = MeetGeekASGIMiddleware(app, SECRET, acknowledge=True)
        run(middleware(http_scope(signed(SUCCEEDED)), connection.receive, connection.send))
        assert bodies == [SUCCEEDED]

    def test_two_requests_do_not_share_an_answer(self):
        async def app(scope, receive, send):
            await send(Start(200))
            await send(Content(b"ok"))

        middleware = MeetGeekASGIMiddleware(app, SECRET, acknowledge=True)
        for _ in range(2):
            connection = Connection(*request_events(SUCCEEDED))
            run(middleware(http_scope(signed(SUCCEEDED)), connection.receive, connection.send))
            assert connection.sent == acknowledgement()

    def test_without_the_option_nothing_changes(self):
        events = [Start(202), Content(b"ok")]
        assert [id(event) for event in sent_by(*events, acknowledge=False)] == [id(event) for event in events]


# WSGI


class Answer:
    """An iterable that can be closed, fails where it is told to, and remembers what was done with it."""

    def __init__(self, *chunks):
        self.chunks = chunks
        self.taken = 0
        self.closed = 0

    def __iter__(self):
        for chunk in self.chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            self.taken += 1
            yield chunk

    def close(self):
        self.closed += 1


class Server:
    """The server's side of one request to an acknowledging guard."""

    def __init__(self, app):
        self.start_response = StartResponse()
        self.iterable = MeetGeekWSGIMiddleware(app, SECRET, acknowledge=True)(
            wsgi_environ(signed(SUCCEEDED), io.BytesIO(SUCCEEDED), CONTENT_LENGTH=str(len(SUCCEEDED))),
            self.start_response,
        )

    @property
    def answer(self):
        return self.start_response.answer(self.iterable)


def answering(status, headers=(), chunks=()):
    def app(environ, start_response):
        start_response(status, list(headers))
        return chunks

    return app


PLAIN = ("Content-Type", "text/plain; charset=utf-8")
EMPTY = ("Content-Length", "0")


class TestWSGI:
    @pytest.mark.parametrize("status", [f"{status} Done" for status in SUCCESSES] + ["200", "299 "])
    def test_every_success_becomes_200_with_an_empty_body(self, status):
        server = Server(answering(status, [("Content-Type", "a/b")], [b"processed"]))
        assert server.answer == (200, [("Content-Type", "a/b"), EMPTY], b"")
        assert server.start_response.calls == [("200 OK", [("Content-Type", "a/b"), EMPTY])]
        assert server.iterable == []

    @pytest.mark.parametrize(
        "chunks",
        [
            [],
            [b""],
            [b"ok"],
            (b"in ", b"two"),
            b"bytes",
            iter([b"once"]),
            (chunk for chunk in [b"a", b""]),
            FileWrapper(io.BytesIO(b"file")),
            Answer(b"a", b"b"),
        ],
        ids=["nothing", "no bytes", "list", "tuple", "bytes", "iterator", "generator", "file", "closable"],
    )
    def test_whatever_the_answer_consists_of(self, chunks):
        assert Server(answering("202 Accepted", [], chunks)).answer == (200, [PLAIN, EMPTY], b"")

    def test_the_application_finds_the_delivery(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            assert delivery_of(environ).body == SUCCEEDED
            return []

        assert Server(app).answer.status == 200

    def test_fields_that_describe_the_dropped_bytes_go(self):
        headers = [("Content-Type", "a/b"), *fields_in_two_letter_cases(DROPPED)]
        assert Server(answering("206 Partial Content", headers)).answer.headers == [("Content-Type", "a/b"), EMPTY]

    def test_other_fields_stay_in_their_order(self):
        headers = fields_in_two_letter_cases(KEPT)
        assert Server(answering("200 OK", [*headers, ("ETag", "1")])).answer.headers == [*headers, EMPTY]

    @pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
    def test_a_content_type_is_added_only_where_there_is_none(self, name):
        assert Server(answering("200 OK", [(name, "a/b")])).answer.headers == [(name, "a/b"), EMPTY]
        assert Server(answering("204 No Content", [("X-Own", "1")])).answer.headers == [("X-Own", "1"), PLAIN, EMPTY]

    def test_the_applications_headers_are_not_changed(self):
        headers = [("ETag", "1")]

        def app(environ, start_response):
            start_response("200 OK", headers)
            return []

        assert Server(app).answer.status == 200
        assert headers == [("ETag", "1")]

    @pytest.mark.parametrize("status", [f"{status} Own" for status in OTHER_STATUSES])
    def test_any_other_answer_passes_as_the_same_objects(self, status):
        headers = [("Content-Type", "a/b"), ("ETag", "1"), ("Content-Length", "2")]
        answer = Answer(b"a", b"b")

        def app(environ, start_response):
            start_response(status, headers)
            return answer

        server = Server(app)
        assert server.iterable is answer
        assert (answer.taken, answer.closed) == (0, 0)
        [arguments] = server.start_response.calls
        assert arguments == (status, headers)
        assert arguments[1] is headers
        assert server.answer.body == b"ab"

    def test_what_is_written_of_a_success_is_dropped(self):
        def app(environ, start_response):
            write = start_response("200 OK", [])
            assert write(b"written") is None
            return [b"returned"]

        assert Server(app).answer == (200, [PLAIN, EMPTY], b"")

    def test_what_is_written_of_another_answer_is_written(self):
        def app(environ, start_response):
            start_response("500 Own", [])(b"written ")
            return [b"returned"]

        assert Server(app).answer == (500, [], b"written returned")

    def test_an_error_may_take_the_place_of_a_success(self):
        error = (OwnError, OwnError(), None)

        def app(environ, start_response):
            start_response("200 OK", [("X-Own", "1")])
            start_response("500 Own", [("X-Own", "2")], error)
            return [b"failed"]

        server = Server(app)
        assert server.answer == (500, [("X-Own", "2")], b"failed")
        assert server.start_response.calls == [("500 Own", [("X-Own", "2")], error)]

    def test_a_success_may_take_the_place_of_a_success(self):
        def app(environ, start_response):
            start_response("200 OK", [("X-Own", "1")])
            start_response("201 Created", [("X-Own", "2")], (OwnError, OwnError(), None))
            return []

        assert Server(app).answer == (200, [("X-Own", "2"), PLAIN, EMPTY], b"")

    @pytest.mark.parametrize("first", [[], [b""], [b"", b"half"]], ids=["at once", "after no bytes", "half-way"])
    def test_an_error_may_take_the_place_of_a_success_while_it_is_iterated(self, first):
        def app(environ, start_response):
            start_response("200 OK", [])
            yield from first
            start_response("500 Own", [("X-Own", "1")], (OwnError, OwnError(), None))
            yield b"failed "
            yield b"here"

        assert Server(app).answer == (500, [("X-Own", "1")], b"failed here")

    @pytest.mark.parametrize("chunks", [[], [b""], [b"late"], [b"", b"late ", b"chunks"]])
    def test_an_answer_may_be_started_late(self, chunks):
        def app_with(status):
            def app(environ, start_response):
                start_response(status, [("X-Own", "1")])
                yield from chunks

            return app

        assert Server(app_with("200 OK")).answer == (200, [("X-Own", "1"), PLAIN, EMPTY], b"")
        assert Server(app_with("503 Own")).answer == (503, [("X-Own", "1")], b"".join(chunks))

    @pytest.mark.parametrize(
        "chunks", [[OwnError()], [b"half", OwnError()], [b"", b"half", KeyboardInterrupt()]], ids=["", "half", "late"]
    )
    def test_an_application_that_fails_half_way_acknowledges_nothing_and_is_closed(self, chunks):
        answer = Answer(*chunks)
        start_response = StartResponse()
        middleware = MeetGeekWSGIMiddleware(answering("200 OK", [], answer), SECRET, acknowledge=True)
        with pytest.raises(type(chunks[-1])):
            middleware(wsgi_environ(signed(b"")), start_response)
        assert start_response.calls == []
        assert answer.closed == 1

    def test_an_application_that_raises_at_once_acknowledges_nothing(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            raise OwnError

        start_response = StartResponse()
        middleware = MeetGeekWSGIMiddleware(app, SECRET, acknowledge=True)
        with pytest.raises(OwnError):
            middleware(wsgi_environ(signed(b"")), start_response)
        assert start_response.calls == []

    def test_an_application_that_fails_while_it_is_closed_acknowledges_nothing(self):
        class Failing(Answer):
            def close(self):
                raise OwnError

        start_response = StartResponse()
        middleware = MeetGeekWSGIMiddleware(answering("200 OK", [], Failing(b"ok")), SECRET, acknowledge=True)
        with pytest.raises(OwnError):
            middleware(wsgi_environ(signed(b"")), start_response)
        assert start_response.calls == []

    def test_an_application_that_never_starts_is_the_servers_matter(self):
        answer = Answer(b"lost")
        server = Server(lambda environ, start_response: answer)
        assert server.iterable == []
        assert server.start_response.calls == []
        assert answer.closed == 1

    def test_a_success_is_read_to_its_end_and_closed_before_it_is_acknowledged(self):
        order = []

        class Noting(Answer):
            def close(self):
                order.append(f"closed after {self.taken}")

        def start_response(status, headers):
            order.append(status)

        MeetGeekWSGIMiddleware(answering("200 OK", [], Noting(b"a", b"b")), SECRET, acknowledge=True)(
            wsgi_environ(signed(b"")), start_response
        )
        assert order == ["closed after 2", "200 OK"]

    def test_a_late_error_is_closed_by_the_server_and_once(self):
        class Late(Answer):
            def __init__(self, start_response):
                super().__init__(b"failed")
                self.start_response = start_response

            def __iter__(self):
                self.start_response("500 Own", [])
                return super().__iter__()

        answers = []

        def app(environ, start_response):
            answers.append(Late(start_response))
            return answers[0]

        server = Server(app)
        assert answers[0].closed == 0
        assert server.answer.body == b"failed"
        assert answers[0].closed == 1

    def test_a_late_error_streams(self):
        produced = []

        def app(environ, start_response):
            start_response("500 Own", [])
            for chunk in (b"a", b"b", b"c"):
                produced.append(chunk)
                yield chunk

        chunks = iter(Server(app).iterable)
        assert next(chunks) == b"a"
        assert produced == [b"a"]
        assert list(chunks) == [b"b", b"c"]

    def test_a_late_error_without_bytes_is_closed(self):
        answers = []

        class Late(Answer):
            def __iter__(self):
                self.start_response("500 Own", [("X-Own", "1")])
                return iter(())

        def app(environ, start_response):
            answers.append(Late())
            answers[0].start_response = start_response
            return answers[0]

        assert Server(app).answer == (500, [("X-Own", "1")], b"")
        assert answers[0].closed == 1
