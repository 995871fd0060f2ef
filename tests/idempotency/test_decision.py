"""The decision against a model: no completed meeting twice within its time, no event lost that was not processed."""

import logging
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from mg_middleware import MemoryStore, Outcome, SQLiteStore
from mg_middleware._refusals import Refusal
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress
from mg_middleware.idempotency.calls import StoreCalls
from mg_middleware.idempotency.decision import ClaimedDelivery, decide

TTL, LEASE = 100.0, 10.0
MEETINGS = st.sampled_from(["one", "two", "three"])


class Flaky:
    """A store that fails when it is told to."""

    def __init__(self, store):
        self.store = store
        self.fails = False

    def __getattr__(self, step):
        if self.fails:
            raise OSError("told to fail")
        return getattr(self.store, step)


class OncePerMeetingMachine(RuleBasedStateMachine):
    """Deliveries, handlers that succeed, fail, hang and die, a store that fails, and time that passes.

    The model knows what truly happened: when each meeting's handler last succeeded and was recorded, and which runs are
    under way.
    """

    running = Bundle("running")

    def make_store(self):
        raise NotImplementedError

    def __init__(self):
        super().__init__()
        logging.getLogger("mg_middleware").setLevel(logging.CRITICAL)
        self.patch = pytest.MonkeyPatch()
        self.now = 1_000_000.0
        self.patch.setattr("mg_middleware.idempotency.stores.memory.monotonic", lambda: self.now)
        self.patch.setattr("mg_middleware.idempotency.stores.sqlite.time", lambda: self.now)
        self.store = Flaky(self.make_store())
        self.calls = StoreCalls(self.store)
        self.remembered_until = {}
        self.claimed = {}

    def teardown(self):
        self.patch.undo()
        logging.getLogger("mg_middleware").setLevel(logging.NOTSET)

    def live_claim(self, meeting):
        token, until = self.claimed.get(meeting, (None, 0.0))
        return token if self.now < until else None

    @rule(target=running, meeting=MEETINGS)
    def deliver(self, meeting):
        decision = self.calls.claim(meeting)
        complete = self.now < self.remembered_until.get(meeting, 0.0)
        if isinstance(decision, ClaimedDelivery):
            assert not complete, "a completed meeting was to be processed again"
            assert self.live_claim(meeting) is None, "a meeting was to be processed twice at once"
            self.claimed[meeting] = decision.token, self.now + LEASE
            return meeting, decision
        assert isinstance(decision, Refusal)
        if decision.outcome is Outcome.DUPLICATE:
            assert decision.status == 200
            assert complete, "an event was lost: it was acknowledged though no handler succeeded"
        else:
            assert (decision.outcome, decision.status) == (Outcome.IN_PROGRESS, 409)
            assert self.live_claim(meeting) is not None, "nobody holds the meeting, yet its event was put off"
            seconds = int(dict(decision.wsgi_headers)["Retry-After"])
            assert 1 <= seconds <= LEASE
        return None

    @rule(meeting=MEETINGS)
    def deliver_while_the_store_fails(self, meeting):
        self.store.fails = True
        assert self.calls.claim(meeting) is None  # the application runs
        self.store.fails = False

    @rule(run=consumes(running), successful=st.booleans())
    def answer(self, run, successful):
        if run is not None:
            run[1].answer_started(successful=successful)
            self.end(run, answered=True, succeeded=successful)

    @rule(run=consumes(running), started=st.booleans())
    def fail(self, run, started):
        if run is not None:
            if started:
                run[1].answer_started(successful=True)
            self.end(run, answered=False, succeeded=False)

    @rule(run=consumes(running))
    def answer_while_the_store_fails(self, run):
        if run is not None:
            meeting, claimed = run
            claimed.answer_started(successful=True)
            self.store.fails = True
            self.calls.end(claimed.end(answered=True), meeting, claimed.token)
            self.store.fails = False

    @rule(run=consumes(running))
    def die(self, run):
        """The process is killed: nobody ends the claim."""

    @rule(seconds=st.sampled_from([0.5, LEASE / 2, LEASE, LEASE + 1, TTL, TTL + 1]))
    def let_pass(self, seconds):
        self.now += seconds

    def end(self, run, *, answered, succeeded):
        meeting, claimed = run
        step = claimed.end(answered=answered)
        assert step == ("complete" if answered and succeeded else "release")
        assert claimed.end(answered=True) is None, "a claim ends but once"
        self.calls.end(step, meeting, claimed.token)
        holder = self.live_claim(meeting)
        if step == "complete" and holder in {None, claimed.token} and self.now >= self.remembered_until.get(meeting, 0):
            self.remembered_until[meeting] = self.now + TTL
            self.claimed.pop(meeting, None)
        if step == "release" and self.claimed.get(meeting, (None,))[0] == claimed.token:
            del self.claimed[meeting]

    @invariant()
    def an_unprocessed_event_is_never_taken_for_processed(self):
        for meeting in ("one", "two", "three"):
            if self.now >= self.remembered_until.get(meeting, 0.0) and self.live_claim(meeting) is None:
                claim = self.store.store.claim(meeting)
                assert isinstance(claim, Claimed)
                self.store.store.release(meeting, claim.token)


class MemoryMachine(OncePerMeetingMachine):
    def make_store(self):
        return MemoryStore(ttl=TTL, lease=LEASE)


class SQLiteMachine(OncePerMeetingMachine):
    def make_store(self):
        self.folder = tempfile.TemporaryDirectory()
        return SQLiteStore(f"{self.folder.name}/deliveries.sqlite3", ttl=TTL, lease=LEASE)

    def teardown(self):
        super().teardown()
        self.store.store.close()
        self.folder.cleanup()


TestMemory = MemoryMachine.TestCase
TestMemory.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSQLite = SQLiteMachine.TestCase
TestSQLite.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize(("left", "seconds"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (60.0, "60")])
def test_the_sender_is_told_whole_seconds_to_wait(left, seconds):
    assert dict(decide(InProgress(left)).asgi_headers)[b"retry-after"] == seconds.encode()


def test_a_duplicate_is_answered_as_meetgeek_knows_it():
    answer = decide(AlreadyComplete())
    assert (answer.status, answer.body) == (200, b"")


def test_a_delivery_in_progress_is_a_conflict():
    answer = decide(InProgress(1.0))
    assert (answer.status, answer.body) == (409, b"This meeting is being processed.\n")


@pytest.mark.parametrize("wrong", [None, True, "token", ("token",)])
def test_what_is_no_claim_is_refused(wrong):
    with pytest.raises(TypeError) as raised:
        decide(wrong)
    assert str(raised.value) == (
        f"claim() of a store must return a Claim, not {type(wrong).__name__}; a store whose plain methods return "
        'awaitables has the attribute execution = "asynchronous"'
    )


def test_an_answer_that_never_started_is_no_success():
    assert ClaimedDelivery("token").end(answered=True) == "release"
