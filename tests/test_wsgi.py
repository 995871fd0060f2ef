"""What only WSGI has: the declared length, the input stream, start_response, the iterable and threads."""

import io
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from itertools import pairwise
from wsgiref.validate import validator

import pytest
from cases import FAILED, GENUINE, OTHER_SECRET, SECRET, SUCCEEDED, signature_of, signed
from exchange import PATH, StartResponse, Stream, each, wsgi_environ
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected
from werkzeug.middleware.lint import LintMiddleware

from mg_middleware import MeetGeekWSGIMiddleware, Outcome, Verdict, delivery_of

TERMINATED = {"wsgi.input_terminated": True}
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked"}
READ_SIZE = 16_777_216  # bytes: how much is asked of the server at once, at the most


class Recorder:
    """An application that remembers what it was called with, and answers with the body."""

    def __init__(self):
        self.calls = []

    def __call__(self, environ, start_response):
        self.calls.append((environ, start_response))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]


def ask(middleware, environ):
    start_response = StartResponse()
    return start_response.answer(middleware(environ, start_response))


def status_of(environ, **options):
    """The status of the answer, once it is certain that the application ran if and only if this is 200."""
    app = Recorder()
    status = ask(MeetGeekWSGIMiddleware(app, SECRET, **options), environ).status
    assert (len(app.calls) == 1) == (status == 200)
    return status


def declared(body, length=None):
    return {"CONTENT_LENGTH": str(len(body) if length is None else length)}


class TestLength:
    @pytest.mark.parametrize(
        "length", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}], ids=["absent", "empty", "zero"]
    )
    def test_without_a_declared_length_the_body_is_empty_and_the_stream_is_left_alone(self, length):
        stream = Stream(SUCCEEDED)
        assert status_of(wsgi_environ(signed(b""), stream, **length)) == 200
        assert status_of(wsgi_environ(signed(SUCCEEDED), stream, **length)) == 401
        assert stream.sizes == []

    @pytest.mark.parametrize("size", [1, 2, len(SUCCEEDED)])
    def test_the_stream_is_read_to_the_declared_length_and_not_beyond(self, size):
        stream = Stream(SUCCEEDED + b"the next request")
        assert status_of(wsgi_environ(signed(SUCCEEDED[:size]), stream, **declared(SUCCEEDED, size))) == 200
        assert stream.sizes == [size]
        assert b"".join(stream.chunks) == (SUCCEEDED + b"the next request")[size:]

    def test_a_stream_may_give_mutable_bytes(self):
        app = Recorder()
        environ = wsgi_environ(signed(SUCCEEDED), Stream(bytearray(SUCCEEDED)), **declared(SUCCEEDED))
        assert ask(MeetGeekWSGIMiddleware(app, SECRET), environ).status == 200
        body = delivery_of(app.calls[0][0]).body
        assert (type(body), body) == (bytes, SUCCEEDED)

    def test_a_stream_that_gives_a_byte_at_a_time_is_read_to_the_end(self):
        stream = Stream(*(bytes([byte]) for byte in SUCCEEDED), b"the next request")
        assert status_of(wsgi_environ(signed(SUCCEEDED), stream, **declared(SUCCEEDED))) == 200
        assert stream.sizes == list(range(len(SUCCEEDED), 0, -1))

    @given(st.binary(max_size=60), st.lists(st.integers(1, 60), max_size=6), st.integers(0, 80))
    def test_a_body_is_as_long_as_declared_or_refused(self, body, sizes, length):
        cuts = [0, *sorted(sizes), len(body)]
        chunks = [body[start:end] for start, end in pairwise(cuts)]
        stream = Stream(*filter(None, chunks))
        status = status_of(wsgi_environ(signed(body[:length]), stream, **declared(body, length)))
        assert status == (200 if length <= len(body) else 400)
        assert sum(map(len, stream.chunks)) == max(len(body) - length, 0)

    @pytest.mark.parametrize("arrived", [b"", SUCCEEDED[:1], SUCCEEDED[:-1]], ids=["nothing", "a byte", "all but one"])
    def test_a_body_that_ends_early_is_refused_whatever_its_signature(self, arrived):
        environ = wsgi_environ(signed(arrived), Stream(arrived), **declared(SUCCEEDED))
        assert status_of(environ) == 400

    @pytest.mark.parametrize("length", ["\u0665", "\u0661\u0662", "\u4e94", "\ud800", "5\u0661"])
    def test_a_length_that_is_not_even_latin_1_is_refused(self, length):
        assert status_of(wsgi_environ(signed(b"12345"), Stream(b"12345"), CONTENT_LENGTH=length)) == 400

    @pytest.mark.parametrize("length", ["11", "9" * 5000])
    def test_a_length_over_the_limit_is_refused_unread(self, length):
        stream = Stream(b"x" * 11)
        assert status_of(wsgi_environ(signed(b"x" * 11), stream, CONTENT_LENGTH=length), max_body_size=10) == 413
        assert stream.sizes == []

    def test_no_more_is_asked_for_at_once_than_a_server_can_set_aside(self):
        stream = Stream(b"x")
        environ = wsgi_environ(signed(b"x"), stream, CONTENT_LENGTH=str(READ_SIZE + 1))
        assert status_of(environ, max_body_size=None) == 400
        assert stream.sizes == [READ_SIZE, READ_SIZE]


class TestChunked:
    @pytest.mark.parametrize(
        "flag",
        [{}, {"wsgi.input_terminated": False}, {"wsgi.input_terminated": None}],
        ids=["absent", "present but false", "present but None"],
    )
    @pytest.mark.parametrize("length", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "95"}])
    @pytest.mark.parametrize("body", [b"", SUCCEEDED], ids=["signature of nothing", "signature of the body"])
    def test_without_an_end_a_chunked_body_is_refused_unread(self, flag, length, body):
        stream = Stream(SUCCEEDED)
        assert status_of(wsgi_environ(signed(body), stream, **CHUNKED, **flag, **length)) == 411
        assert stream.sizes == []

    def test_the_refusal_asks_for_a_length(self):
        verdicts = []
        middleware = MeetGeekWSGIMiddleware(Recorder(), SECRET, on_verdict=verdicts.append)
        answer = ask(middleware, wsgi_environ(signed(b""), **CHUNKED))
        assert answer == (
            411,
            [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "30")],
            b"A Content-Length is required.\n",
        )
        assert verdicts == [Verdict(Outcome.LENGTH_REQUIRED, 411, None, 0, "POST", PATH)]

    def test_it_is_refused_only_with_a_signature_and_a_valid_length(self):
        assert status_of(wsgi_environ([], **CHUNKED)) == 401
        assert status_of(wsgi_environ(signed(b""), **CHUNKED, CONTENT_LENGTH="junk")) == 400
        assert status_of(wsgi_environ(signed(b""), **CHUNKED, CONTENT_LENGTH="11"), max_body_size=10) == 413

    def test_it_is_refused_before_a_secret_is_looked_up(self):
        asked = []
        middleware = MeetGeekWSGIMiddleware(Recorder(), asked.append)
        assert ask(middleware, wsgi_environ(signed(b""), **CHUNKED)).status == 411
        assert asked == []

    @pytest.mark.parametrize("coding", ["chunked", "Chunked", "gzip, chunked", "identity"])
    def test_every_transfer_coding_needs_an_end(self, coding):
        environ = wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), HTTP_TRANSFER_ENCODING=coding)
        assert status_of(environ) == 411
        assert status_of(environ | TERMINATED) == 200

    @pytest.mark.parametrize("pieces", [[SUCCEEDED], [bytes([byte]) for byte in SUCCEEDED], []])
    def test_a_terminated_body_is_read_to_its_end(self, pieces):
        stream = Stream(*pieces)
        assert status_of(wsgi_environ(signed(b"".join(pieces)), stream, **CHUNKED, **TERMINATED)) == 200
        assert len(stream.sizes) == len(pieces) + 1

    def test_a_terminated_body_may_come_with_neither_length_nor_coding(self):
        assert status_of(wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), **TERMINATED)) == 200

    @pytest.mark.parametrize("length", ["5", "0", "", "500"])
    def test_beside_a_transfer_coding_the_length_is_void(self, length):
        environ = wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), **CHUNKED, **TERMINATED, CONTENT_LENGTH=length)
        assert status_of(environ) == 200

    @pytest.mark.parametrize("signed_body", [SUCCEEDED, SUCCEEDED[:5]], ids=["the whole", "the declared part"])
    def test_a_terminated_stream_that_is_longer_than_declared_is_refused(self, signed_body):
        stream = Stream(SUCCEEDED)
        environ = wsgi_environ(signed(signed_body), stream, **TERMINATED, CONTENT_LENGTH="5")
        assert status_of(environ) == 400
        assert stream.sizes == [6]

    def test_a_terminated_stream_that_is_shorter_than_declared_ended_early(self):
        environ = wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), **TERMINATED, **declared(SUCCEEDED + b"x"))
        assert status_of(environ) == 400

    def test_an_empty_transfer_coding_is_none(self):
        environ = wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), HTTP_TRANSFER_ENCODING="", **declared(SUCCEEDED))
        assert status_of(environ) == 200

    def test_a_false_flag_beside_a_length_is_no_flag(self):
        stream = Stream(SUCCEEDED + b"the next request")
        environ = wsgi_environ(signed(SUCCEEDED), stream, **declared(SUCCEEDED), **{"wsgi.input_terminated": False})
        assert status_of(environ) == 200
        assert stream.sizes == [len(SUCCEEDED)]

    @pytest.mark.parametrize(
        ("pieces", "status", "sizes"),
        [
            ([9], 200, [11, 2]),
            ([10], 200, [11, 1]),
            ([11], 413, [11]),
            ([500], 413, [11]),
            ([4, 6], 200, [11, 7, 1]),
            ([4, 7], 413, [11, 7]),
            ([10, 1], 413, [11, 1]),
            ([10, 500], 413, [11, 1]),
        ],
    )
    def test_of_a_terminated_stream_no_more_is_taken_than_tells_that_it_is_too_long(self, pieces, status, sizes):
        chunks = [b"x" * size for size in pieces]
        stream = Stream(*chunks)
        environ = wsgi_environ(signed(b"".join(chunks)), stream, **CHUNKED, **TERMINATED)
        assert status_of(environ, max_body_size=10) == status
        assert stream.sizes == sizes

    def test_without_a_limit_a_terminated_stream_is_read_in_bounded_pieces(self):
        stream = Stream(b"x" * 10)
        assert status_of(wsgi_environ(signed(b"x" * 10), stream, **CHUNKED, **TERMINATED), max_body_size=None) == 200
        assert stream.sizes == [READ_SIZE, READ_SIZE]


READ_ERRORS = {
    "OSError": OSError("read error"),
    "ConnectionResetError": ConnectionResetError(),
    "TimeoutError": TimeoutError(),
    "io.UnsupportedOperation": io.UnsupportedOperation(),
    "ValueError": ValueError("invalid chunk"),
    "OverflowError": OverflowError("Python int too large to convert to C ssize_t"),  # cheroot: a chunk of 2**63 bytes
    "UnicodeDecodeError": UnicodeDecodeError("ascii", b"", 0, 0, "chunk size"),
    "werkzeug's ClientDisconnected": ClientDisconnected(),
}


@pytest.mark.parametrize("framing", [declared(SUCCEEDED), CHUNKED | TERMINATED], ids=["declared", "chunked"])
class TestReadErrors:
    @pytest.mark.parametrize("error", each(READ_ERRORS))
    @pytest.mark.parametrize("arrived", [[], [SUCCEEDED[:9]]], ids=["at once", "in the body"])
    def test_a_client_that_left_or_broke_the_framing_is_answered_400(self, framing, error, arrived, caplog):
        verdicts = []
        app = Recorder()
        stream = Stream(*arrived, error, SUCCEEDED)
        middleware = MeetGeekWSGIMiddleware(app, SECRET, on_verdict=verdicts.append)
        with caplog.at_level(logging.DEBUG):
            answer = ask(middleware, wsgi_environ(signed(b"".join(arrived)), stream, **framing))
        assert (answer.status, answer.body) == (400, b"The body does not have its declared length.\n")
        assert app.calls == []
        size, length = sum(map(len, arrived)), framing.get("CONTENT_LENGTH", "no length")
        assert verdicts == [Verdict(Outcome.INCOMPLETE_BODY, 400, None, size, "POST", PATH)]
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            (
                "WARNING",
                f"refused POST {PATH} from 203.0.113.7: incomplete_body ({size} bytes received, {length} declared)",
            )
        ]

    def test_what_ends_the_process_passes_and_gets_its_verdict(self, framing):
        verdicts = []
        middleware = MeetGeekWSGIMiddleware(Recorder(), SECRET, on_verdict=verdicts.append)
        with pytest.raises(SystemExit):
            ask(middleware, wsgi_environ(signed(b""), Stream(SUCCEEDED[:5], SystemExit()), **framing))
        assert verdicts == [Verdict(Outcome.INCOMPLETE_BODY, None, None, 5, "POST", PATH)]

    def test_a_stream_of_text_is_refused(self, framing):
        middleware = MeetGeekWSGIMiddleware(Recorder(), SECRET)
        environ = wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED.decode()), **framing)
        assert ask(middleware, environ).status == 400


class TestHeader:
    @pytest.mark.parametrize(
        "value",
        [
            "\u0141" + GENUINE.decode()[1:],
            "\ud800" + GENUINE.decode()[1:],
            "\uff11" * 64,
            GENUINE.decode() + "\u2028",
            "\u3000" + GENUINE.decode(),
        ],
    )
    def test_a_value_that_is_not_latin_1_is_malformed(self, value):
        verdicts = []
        environ = wsgi_environ([], Stream(SUCCEEDED), **declared(SUCCEEDED), HTTP_X_MG_SIGNATURE=value)
        assert status_of(environ, on_verdict=verdicts.append) == 401
        assert [verdict.outcome for verdict in verdicts] == ["malformed_signature"]


class TestReplay:
    @pytest.mark.parametrize("framing", [declared(SUCCEEDED), CHUNKED | TERMINATED], ids=["declared", "chunked"])
    def test_the_application_gets_a_fresh_seekable_stream_and_the_real_length(self, framing):
        app = Recorder()
        ask(MeetGeekWSGIMiddleware(app, SECRET), wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), **framing))
        environ = app.calls[0][0]
        stream = environ["wsgi.input"]
        stream.seek(0)
        assert stream.read() == SUCCEEDED
        stream.seek(5)
        assert list(stream) == [SUCCEEDED[5:]]
        assert environ["CONTENT_LENGTH"] == str(len(SUCCEEDED))
        assert environ.get("wsgi.input_terminated") == framing.get("wsgi.input_terminated")  # the server's own
        assert "HTTP_TRANSFER_ENCODING" not in environ

    @pytest.mark.parametrize("length", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "000"}])
    def test_an_empty_body_is_replayed_too(self, length):
        app = Recorder()
        stream = Stream(b"the next request")
        assert ask(MeetGeekWSGIMiddleware(app, SECRET), wsgi_environ(signed(b""), stream, **length)).body == b""
        environ = app.calls[0][0]
        assert environ["wsgi.input"] is not stream
        assert environ["wsgi.input"].read() == b""
        assert environ["CONTENT_LENGTH"] == "0"

    def test_an_empty_transfer_coding_is_taken_off_too(self):
        app = Recorder()
        ask(MeetGeekWSGIMiddleware(app, SECRET), wsgi_environ(signed(b""), HTTP_TRANSFER_ENCODING=""))
        assert "HTTP_TRANSFER_ENCODING" not in app.calls[0][0]

    def test_the_servers_environ_is_not_changed_and_its_objects_are_handed_on(self):
        environ = wsgi_environ(
            signed(SUCCEEDED), Stream(SUCCEEDED), **CHUNKED, **TERMINATED, **{"server.own": object()}
        )
        before = dict(environ)
        app = Recorder()
        ask(MeetGeekWSGIMiddleware(app, SECRET), environ)
        assert environ == before
        seen = app.calls[0][0]
        assert type(seen) is dict
        assert set(seen) - set(environ) == {"CONTENT_LENGTH", "meetgeek.delivery"}
        replaced = {"wsgi.input", "HTTP_TRANSFER_ENCODING"}
        assert all(seen[key] is value for key, value in environ.items() if key not in replaced)
        assert delivery_of(seen).body == SUCCEEDED

    def test_a_delivery_that_somebody_put_into_the_environ_is_replaced(self):
        app = Recorder()
        environ = wsgi_environ(signed(b""), **{"meetgeek.delivery": object()})
        ask(MeetGeekWSGIMiddleware(app, SECRET), environ)
        assert delivery_of(app.calls[0][0]).body == b""

    def test_the_servers_stream_is_never_closed(self):
        stream = io.BytesIO(SUCCEEDED)
        assert status_of(wsgi_environ(signed(SUCCEEDED), stream, **declared(SUCCEEDED))) == 200
        assert not stream.closed

    def test_a_refused_request_leaves_the_stream_where_it_was(self):
        stream = io.BytesIO(SUCCEEDED)
        assert status_of(wsgi_environ([], stream, **declared(SUCCEEDED))) == 401
        assert stream.tell() == 0

    def test_a_mutable_piece_that_the_server_uses_again_does_not_change_the_replay(self):
        buffer = bytearray(SUCCEEDED)

        class ReusingStream:
            def read(self, size):
                piece, buffer[:] = memoryview(bytes(buffer)), b"\0" * len(buffer)
                return piece

        app = Recorder()
        environ = wsgi_environ(signed(SUCCEEDED), ReusingStream(), **declared(SUCCEEDED))
        assert ask(MeetGeekWSGIMiddleware(app, SECRET), environ).body == SUCCEEDED

    def test_one_guard_inside_another_works(self):
        middleware = MeetGeekWSGIMiddleware(MeetGeekWSGIMiddleware(Recorder(), SECRET), SECRET)
        environ = wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), **CHUNKED, **TERMINATED)
        assert ask(middleware, environ).body == SUCCEEDED


class TestAnswer:
    @pytest.mark.parametrize("paths", [None, "/elsewhere"], ids=["verified", "unguarded"])
    def test_start_response_and_the_iterable_are_the_same_objects(self, paths):
        given = []

        class Answer:
            def __iter__(self):
                raise AssertionError("only a server iterates")

        answer, start_response = Answer(), StartResponse()

        def app(environ, start_response):
            given.append(start_response)
            return answer

        middleware = MeetGeekWSGIMiddleware(app, SECRET, paths=paths)
        assert middleware(wsgi_environ(signed(b"")), start_response) is answer
        assert given[0] is start_response
        assert start_response.calls == []

    def test_an_application_may_write(self):
        def app(environ, start_response):
            start_response("200 OK", [])(b"written ")
            return [b"returned"]

        assert ask(MeetGeekWSGIMiddleware(app, SECRET), wsgi_environ(signed(b""))).body == b"written returned"

    def test_what_the_application_raises_passes(self):
        error = LookupError("the application's own")

        def app(environ, start_response):
            raise error

        with pytest.raises(LookupError) as raised:
            ask(MeetGeekWSGIMiddleware(app, SECRET), wsgi_environ(signed(b"")))
        assert raised.value is error

    def test_an_unguarded_request_gets_the_very_same_environ(self):
        app = Recorder()
        environ = wsgi_environ([], **declared(b""))
        before = dict(environ)
        ask(MeetGeekWSGIMiddleware(app, SECRET, paths="/elsewhere"), environ)
        assert app.calls[0][0] is environ
        assert environ == before

    def test_keys_that_a_server_may_leave_out_are_not_needed(self):
        environ = {
            "REQUEST_METHOD": "POST",
            "wsgi.input": Stream(SUCCEEDED),
            "HTTP_X_MG_SIGNATURE": GENUINE.decode(),
            "CONTENT_LENGTH": str(len(SUCCEEDED)),
        }
        verdicts = []
        assert status_of(dict(environ), paths="/", on_verdict=verdicts.append) == 200
        del environ["HTTP_X_MG_SIGNATURE"]
        assert status_of(environ, paths="/", on_verdict=verdicts.append) == 401
        assert [verdict.path for verdict in verdicts] == ["", ""]

    def test_the_mount_counts_as_part_of_the_path(self):
        environ = wsgi_environ([], SCRIPT_NAME="/webhooks", PATH_INFO="/meetgeek")
        assert status_of(environ, paths=PATH) == 401

    @pytest.mark.parametrize(
        ("root", "path"), [("/webhooks", "/meetgeek"), ("//Webhooks", "/meetgeek"), (PATH, ""), (PATH, None)]
    )
    def test_the_virtual_root_of_pyramid_counts_as_part_of_the_path(self, root, path):
        environ = wsgi_environ([], HTTP_X_VHM_ROOT=root, PATH_INFO=path)
        if path is None:
            del environ["PATH_INFO"]
        assert status_of(environ, paths=PATH) == 401

    def test_a_virtual_root_elsewhere_changes_nothing(self):
        environ = wsgi_environ([], HTTP_X_VHM_ROOT="/shop", PATH_INFO="/meetgeek", CONTENT_LENGTH="0")
        assert status_of(environ, paths=PATH) == 200
        assert status_of(wsgi_environ([], HTTP_X_VHM_ROOT="/shop"), paths=PATH) == 401

    def test_an_empty_client_is_unknown(self, caplog):
        with caplog.at_level(logging.WARNING, "mg_middleware"):
            status_of(wsgi_environ([], REMOTE_ADDR=""))
        assert caplog.messages == [f"refused POST {PATH} from an unknown client: missing_signature"]

    def test_a_refusal_is_started_with_what_the_validators_want(self):
        start_response = StartResponse()
        chunks = MeetGeekWSGIMiddleware(Recorder(), SECRET)(wsgi_environ(), start_response)
        [(status, headers)] = start_response.calls
        assert status == "401 Unauthorized"
        assert headers == [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", "40"),
            ("WWW-Authenticate", 'MeetGeek-Signature realm="webhook"'),
        ]
        assert chunks == [b"The request carries no valid signature.\n"]

    @pytest.mark.parametrize(
        ("environ", "status"),
        [
            (wsgi_environ(signed(b""), CONTENT_LENGTH="x"), "400 Bad Request"),
            (wsgi_environ(signed(b""), **CHUNKED), "411 Length Required"),
            (wsgi_environ(signed(b""), CONTENT_LENGTH="9" * 9), f"413 {HTTPStatus(413).phrase}"),
        ],
    )
    def test_statuses_have_their_phrases(self, environ, status):
        start_response = StartResponse()
        MeetGeekWSGIMiddleware(Recorder(), SECRET)(environ, start_response)
        assert start_response.calls[0][0] == status

    def test_to_head_there_is_no_body_and_no_length(self):
        start_response = StartResponse()
        environ = wsgi_environ(REQUEST_METHOD="HEAD")
        chunks = MeetGeekWSGIMiddleware(Recorder(), SECRET)(environ, start_response)
        assert start_response.calls == [
            (
                "401 Unauthorized",
                [
                    ("Content-Type", "text/plain; charset=utf-8"),
                    ("WWW-Authenticate", 'MeetGeek-Signature realm="webhook"'),
                ],
            )
        ]
        # Exactly one piece: where there is none, waitress sends the end of a chunked body.
        assert chunks == [b""]

    def test_a_request_without_a_method_is_refused(self):
        environ = wsgi_environ()
        del environ["REQUEST_METHOD"]  # as uWSGI has it where the request line is empty
        verdicts = []
        answer = ask(MeetGeekWSGIMiddleware(Recorder(), SECRET, on_verdict=verdicts.append), environ)
        assert answer.status == 401
        assert verdicts == [Verdict(Outcome.MISSING_SIGNATURE, 401, None, 0, "", PATH)]


class TestSecretCallable:
    def test_an_async_callable_is_an_error_and_runs_nothing(self):
        async def secret(environ):
            return SECRET

        app = Recorder()
        with pytest.raises(TypeError) as raised:
            ask(MeetGeekWSGIMiddleware(app, secret), wsgi_environ(signed(b"")))
        assert str(raised.value) == (
            "secret is a coroutine function, which MeetGeekWSGIMiddleware can't await: give a plain function"
        )
        assert app.calls == []

    def test_an_awaitable_that_is_no_coroutine_is_an_error_too(self):
        class Eventually:
            def __await__(self):
                yield

        with pytest.raises(TypeError, match="secret returned an awaitable"):
            ask(MeetGeekWSGIMiddleware(Recorder(), lambda environ: Eventually()), wsgi_environ(signed(b"")))

    def test_it_gets_the_environ_and_an_unread_stream(self):
        seen = []

        def secret(environ):
            seen.append((environ, list(environ["wsgi.input"].sizes)))
            return SECRET

        environ = wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), **declared(SUCCEEDED))
        ask(MeetGeekWSGIMiddleware(Recorder(), secret), environ)
        assert seen == [(environ, [])]


def test_sixteen_threads_do_not_mix():
    middleware = MeetGeekWSGIMiddleware(Recorder(), {"a": SECRET, "b": OTHER_SECRET})
    everybody_is_here = threading.Barrier(16)

    def requests(thread):
        everybody_is_here.wait()
        for number in range(60):
            body = f"body {thread} {number} ".encode() * (number + 1)
            is_genuine = number % 3 > 0
            signature = signature_of(body if is_genuine else body + b"x", SECRET if number % 2 else OTHER_SECRET)
            pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
            environ = wsgi_environ([(b"x-mg-signature", signature)], Stream(*pieces), **declared(body))
            answer = ask(middleware, environ)
            assert answer.status == (200 if is_genuine else 401)
            assert (answer.body == body) == is_genuine
        return thread

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(requests, range(16))) == list(range(16))


def validated_app(environ, start_response):
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def between_validators(**options):
    return validator(MeetGeekWSGIMiddleware(validator(validated_app), SECRET, **options))


def linted(**options):
    return LintMiddleware(MeetGeekWSGIMiddleware(validated_app, SECRET, **options))


VALIDATED = {
    "accepted": (200, signed(SUCCEEDED), SUCCEEDED, {}),
    "accepted and empty": (200, signed(b""), b"", {}),
    "missing": (401, [], SUCCEEDED, {}),
    "forged": (401, signed(FAILED), SUCCEEDED, {}),
    "invalid length": (400, signed(b""), b"", {"CONTENT_LENGTH": "+5"}),
    "ended early": (400, signed(b""), b"", {"CONTENT_LENGTH": "5"}),
    "not terminated": (411, signed(b""), b"", CHUNKED),
    "terminated": (200, signed(SUCCEEDED), SUCCEEDED, CHUNKED | TERMINATED),
    "too large": (413, signed(b""), b"", {"CONTENT_LENGTH": "1048577"}),
}


@pytest.mark.parametrize("wrap", [between_validators, linted], ids=["two wsgiref.validate layers", "LintMiddleware"])
@pytest.mark.parametrize(("status", "fields", "body", "changes"), VALIDATED.values(), ids=VALIDATED)
@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("acknowledge", [False, True], ids=["", "acknowledging"])
def test_the_validators_find_no_fault(wrap, status, fields, body, changes, method, acknowledge):
    environ = wsgi_environ(fields, io.BytesIO(body), REQUEST_METHOD=method, **(declared(body) | changes))
    start_response = StartResponse()

    def strict_start_response(status, headers, exc_info=None):
        return start_response(status, headers)

    answer = start_response.answer(wrap(acknowledge=acknowledge)(environ, strict_start_response))
    assert answer.status == status


@pytest.mark.parametrize(("length", "status"), [(0, 400), ("0", 400), (False, 400), ("", 200), (None, 200)])
def test_a_length_of_nothing_is_a_length(length, status):
    environ = wsgi_environ(signed(SUCCEEDED), Stream(SUCCEEDED), CONTENT_LENGTH=length)
    environ["wsgi.input_terminated"] = True
    start_response = StartResponse()

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"processed"]

    response = MeetGeekWSGIMiddleware(application, SECRET)(environ, start_response)
    assert start_response.answer(response).status == status
