"""What a body says, and that none of them raises."""

import json
import sys

import pytest
from cases import FAILED, SUCCEEDED
from exchange import each
from hypothesis import given
from hypothesis import strategies as st

from mg_middleware import AnalysisFailed, AnalysisSucceeded, UnknownEvent
from mg_middleware.events import parse_event

MEETING_ID = "5e0a3b1c-7d2f-4c6e-9a8b-0f1e2d3c4b5a"
SUCCEEDED_MESSAGE = "File analyzed successfully"
FAILED_MESSAGE = "File analyzed failed"


def encoded(**fields):
    return json.dumps(fields).encode()


def test_the_documented_success():
    event = parse_event(SUCCEEDED)
    assert event == AnalysisSucceeded(MEETING_ID)
    assert event.payload == {"message": SUCCEEDED_MESSAGE, "meeting_id": MEETING_ID}


def test_the_documented_failure_which_has_no_id():
    event = parse_event(FAILED)
    assert event == AnalysisFailed()
    assert event.payload == {"message": FAILED_MESSAGE}


@pytest.mark.parametrize("meeting_id", ["5", "not a UUID", " ", "é\u2028\0", "x" * 10_000])
def test_any_string_but_the_empty_one_is_an_id(meeting_id):
    assert parse_event(encoded(message=SUCCEEDED_MESSAGE, meeting_id=meeting_id)) == AnalysisSucceeded(meeting_id)


def test_unknown_fields_are_kept():
    fields = {"message": SUCCEEDED_MESSAGE, "meeting_id": "5", "language": "fi", "members": [1, None]}
    event = parse_event(encoded(**fields))
    assert event == AnalysisSucceeded("5")
    assert event.payload == fields


def test_a_failure_with_an_id_is_a_failure():
    fields = {"message": FAILED_MESSAGE, "meeting_id": "5"}
    event = parse_event(encoded(**fields))
    assert event == AnalysisFailed()
    assert event.payload == fields


@pytest.mark.parametrize(
    "body",
    [
        b'{"message":"File analyzed failed"}',
        b' \r\n{ "message" :\t"File analyzed failed" } \n',
        b'{"message": "\\u0046ile analyzed failed"}',
        b'{"message": "another", "message": "File analyzed failed"}',
        b"\xef\xbb\xbf" + FAILED,
        FAILED.decode().encode("utf-16"),
        FAILED.decode().encode("utf-32"),
    ],
    ids=["dense", "spacious", "escaped", "a field twice", "byte order mark", "UTF-16", "UTF-32"],
)
def test_spelling_makes_no_difference(body):
    assert parse_event(body) == AnalysisFailed()


UNKNOWN = {
    "no message": {"meeting_id": "5"},
    "success without an id": {"message": SUCCEEDED_MESSAGE},
    "an empty id": {"message": SUCCEEDED_MESSAGE, "meeting_id": ""},
    "an id of null": {"message": SUCCEEDED_MESSAGE, "meeting_id": None},
    "an id that is a number": {"message": SUCCEEDED_MESSAGE, "meeting_id": 5},
    "an id that is a list": {"message": SUCCEEDED_MESSAGE, "meeting_id": ["5"]},
    "an id that is an object": {"message": SUCCEEDED_MESSAGE, "meeting_id": {}},
    "an id that is true": {"message": SUCCEEDED_MESSAGE, "meeting_id": True},
    "another message": {"message": "File deleted", "meeting_id": "5"},
    "another letter case": {"message": "file analyzed failed"},
    "a message in white space": {"message": "File analyzed failed "},
    "a message that is a list": {"message": [FAILED_MESSAGE]},
    "a message of null": {"message": None},
    "an empty object": {},
    "a list": [SUCCEEDED_MESSAGE],
    "a string": FAILED_MESSAGE,
    "a number": 5.5,
    "true": True,
    "null": None,
}


@pytest.mark.parametrize("payload", each(UNKNOWN))
def test_what_is_not_documented_is_unknown_and_keeps_its_payload(payload):
    event = parse_event(json.dumps(payload).encode())
    assert type(event) is UnknownEvent
    assert event.payload == payload


UNDECODABLE = {
    "nothing": b"",
    "white space": b" \n",
    "no JSON": b"message=File+analyzed+failed",
    "cut off": SUCCEEDED[:-1],
    **{f"{byte!r} before": bytes([byte]) + FAILED for byte in range(256) if byte not in b" \t\r\n"},
    **{f"{byte!r} behind": FAILED + bytes([byte]) for byte in range(256) if byte not in b" \t\r\n"},
    "single quotes": b"{'message': 'File analyzed failed'}",
    "no UTF-8": b'{"message": "\xff"}',
    "half a surrogate in UTF-16": b"\xff\xfe\x00\xd8",
    "NULs": b"\0\0\0\0",
    "a digit too many for int": b'{"message": ' + b"9" * (sys.get_int_max_str_digits() + 1) + b"}",
    "nested lists": b"[" * 100_000,
    "nested and closed lists": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"message":' * 100_000 + b"1" + b"}" * 100_000,
}


@pytest.mark.parametrize("body", each(UNDECODABLE))
def test_what_is_no_json_is_unknown_without_payload(body):
    event = parse_event(body)
    assert type(event) is UnknownEvent
    assert event.payload is None


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"Infinity", b"NaN", b"9" * 4000, b"1e-999"])
def test_odd_numbers_do_not_raise(number):
    event = parse_event(b'{"message": "File analyzed failed", "number": ' + number + b"}")
    assert type(event) is AnalysisFailed
    assert "number" in event.payload


def test_a_lone_surrogate_in_an_id_does_not_raise():
    body = b'{"message": "File analyzed successfully", "meeting_id": "\\ud800"}'
    assert parse_event(body) == AnalysisSucceeded("\ud800")


@given(st.binary())
def test_no_bytes_raise(body):
    assert isinstance(parse_event(body), AnalysisSucceeded | AnalysisFailed | UnknownEvent)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
WHITE_SPACE = st.text(" \t\r\n\v\f\0\xa0", max_size=2)


@given(
    before=WHITE_SPACE,
    text=st.sampled_from(["5", '""', "[]", '{"a": 1}', '["\ud800"]', '["\\ud800"]', "[NaN]", "{", "[]5", "'5'"]),
    after=WHITE_SPACE,
    encoding=st.sampled_from(ENCODINGS),
)
def test_a_payload_is_what_the_json_module_makes_of_the_body(before, text, after, encoding):
    body = f"{before}{text}{after}".encode(encoding, "surrogatepass")
    try:
        payload = json.loads(body)
    except ValueError:
        payload = None
    assert repr(parse_event(body).payload) == repr(payload)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(SUCCEEDED_MESSAGE),
        lambda children: st.lists(children) | st.dictionaries(st.sampled_from(["message", "meeting_id"]), children),
    )
)
def test_an_event_is_what_is_documented_or_unknown_with_its_payload(payload):
    event = parse_event(json.dumps(payload).encode())
    is_object = isinstance(payload, dict)
    meeting_id = payload.get("meeting_id") if is_object else None
    if is_object and payload.get("message") == SUCCEEDED_MESSAGE and isinstance(meeting_id, str) and meeting_id:
        assert event == AnalysisSucceeded(meeting_id)
    else:
        assert type(event) is UnknownEvent
    assert repr(event.payload) == repr(json.loads(json.dumps(payload)))


def described(event):
    match event:
        case AnalysisSucceeded(meeting_id):
            return f"succeeded {meeting_id}"
        case AnalysisFailed():
            return "failed"
        case UnknownEvent(payload=payload):
            return f"unknown {payload}"


@pytest.mark.parametrize(
    ("body", "description"),
    [(SUCCEEDED, f"succeeded {MEETING_ID}"), (FAILED, "failed"), (b"[5]", "unknown [5]")],
)
def test_events_are_made_for_match(body, description):
    assert described(parse_event(body)) == description


def test_events_are_equal_by_what_they_say():
    assert AnalysisSucceeded("5", payload={"a": 1}) == AnalysisSucceeded("5")
    assert AnalysisSucceeded("5") != AnalysisSucceeded("6")
    assert AnalysisFailed(payload={"a": 1}) == AnalysisFailed()
    assert UnknownEvent(payload={"a": 1}) != UnknownEvent()
    assert len({AnalysisSucceeded("5"), AnalysisSucceeded("5", payload={"a": 1})}) == 1
    assert len({AnalysisFailed(), AnalysisFailed(payload={"a": 1})}) == 1
    assert len({UnknownEvent(payload=[1]), UnknownEvent(payload=[1])}) == 1


def test_events_made_by_hand_have_an_empty_payload_of_their_own():
    assert AnalysisSucceeded("5").payload == {}
    assert AnalysisFailed().payload == {}
    assert AnalysisFailed().payload is not AnalysisFailed().payload
    assert UnknownEvent().payload is None


def test_a_payload_shows_in_no_repr():
    assert repr(parse_event(b'{"message": "File analyzed successfully", "meeting_id": "5", "a": "private"}')) == (
        "AnalysisSucceeded(meeting_id='5')"
    )
    assert repr(AnalysisFailed(payload={"a": "private"})) == "AnalysisFailed()"
    assert repr(UnknownEvent(payload="private")) == "UnknownEvent()"


@pytest.mark.parametrize("event", [AnalysisSucceeded("5"), AnalysisFailed(), UnknownEvent()])
def test_events_are_read_only(event):
    with pytest.raises((AttributeError, TypeError)):
        event.payload = {}


@pytest.mark.parametrize("event_type", [AnalysisFailed, UnknownEvent, lambda payload: AnalysisSucceeded("5", payload)])
def test_a_payload_is_given_by_name(event_type):
    with pytest.raises(TypeError, match="positional argument"):
        event_type({})
