"""What follows from the result of a claim."""

import pytest

from mg_middleware.idempotency import AlreadyComplete, InProgress
from mg_middleware.idempotency.decision import checked, refusal_of


@pytest.mark.parametrize(("left", "seconds"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (60.0, "60")])
def test_the_sender_gets_whole_seconds_to_wait(left, seconds):
    assert dict(refusal_of(InProgress(left)).asgi_headers)[b"retry-after"] == seconds.encode()


def test_a_duplicate_gets_the_response_that_meetgeek_knows():
    response = refusal_of(AlreadyComplete())
    assert (response.status, response.body) == (200, b"")


def test_a_delivery_in_progress_is_a_conflict():
    response = refusal_of(InProgress(1.0))
    assert (response.status, response.body) == (409, b"This meeting is being processed.\n")


@pytest.mark.parametrize("wrong", [None, True, "token", ("token",)])
def test_what_is_no_claim_is_refused(wrong):
    with pytest.raises(TypeError) as raised:
        checked(wrong)
    assert str(raised.value) == (
        f"claim() of a store must return a Claim, not {type(wrong).__name__}; a store whose plain methods return "
        'awaitables has the attribute execution = "asynchronous"'
    )
