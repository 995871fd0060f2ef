"""Every store against a model: no completed meeting twice within its time, no event lost that was not processed."""

import logging

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mg_middleware.idempotency import AlreadyComplete, Claimed
from mg_middleware.idempotency.claims.calling import StoreCalls
from mg_middleware.idempotency.decision import HeldClaim

TTL, LEASE = 10_000.0, 100.0
HOUR = 3600.0
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
    """Deliveries, handlers that succeed, fail, hang and die, renewals, a store that fails, time and clocks.

    The model knows what truly happened: when each meeting's handler last succeeded and was recorded, and which runs are
    under way. Its clock moves in steps of ten seconds and more, so that a real clock beside it changes nothing.
    """

    running = Bundle("running")

    def __init__(self, store_kind, store):
        super().__init__()
        logging.getLogger("mg_middleware").setLevel(logging.CRITICAL)
        self.kind = store_kind
        self.store = Flaky(store)
        store_kind.empty()
        self.calls = StoreCalls(self.store)
        self.now = 0.0
        self.remembered_until = {}
        self.claimed = {}

    def teardown(self):
        logging.getLogger("mg_middleware").setLevel(logging.NOTSET)

    def live_claim(self, meeting):
        token, until = self.claimed.get(meeting, (None, self.now))
        return token if self.now < until <= self.now + LEASE + 15 else None

    def is_remembered(self, meeting):
        return self.now < self.remembered_until.get(meeting, self.now)

    @rule(target=running, meeting=MEETINGS)
    def deliver(self, meeting):
        claim = self.calls.claim(meeting)
        if isinstance(claim, Claimed):
            assert not self.is_remembered(meeting), "a completed meeting was to be processed again"
            assert self.live_claim(meeting) is None, "a meeting was to be processed twice at once"
            self.claimed[meeting] = claim.token, self.now + LEASE
            self.remembered_until.pop(meeting, None)
            return HeldClaim("a layer", meeting, claim.token)
        if isinstance(claim, AlreadyComplete):
            assert self.is_remembered(meeting), "an event was lost: it was acknowledged though no handler succeeded"
        else:
            assert self.live_claim(meeting) is not None, "nobody holds the meeting, yet its event was put off"
            assert 0 <= claim.seconds_left <= LEASE + 15
        return None

    @rule(meeting=MEETINGS)
    def deliver_while_the_store_fails(self, meeting):
        self.store.fails = True
        assert self.calls.claim(meeting) is None  # the application runs
        self.store.fails = False

    @rule(run=consumes(running), successful=st.booleans())
    def respond(self, run, successful):
        if run is None:
            return
        self.calls.end("complete" if successful else "release", run.key, run.token)
        holder = self.live_claim(run.key)
        is_free = holder is None and not self.is_remembered(run.key)
        if successful and (holder == run.token or is_free):
            self.remembered_until[run.key] = self.now + TTL
            self.claimed.pop(run.key, None)
        if not successful and self.claimed.get(run.key, (None,))[0] == run.token:
            del self.claimed[run.key]

    @rule(run=consumes(running))
    def respond_while_the_store_fails(self, run):
        if run is not None:
            self.store.fails = True
            self.calls.end("complete", run.key, run.token)
            self.store.fails = False

    @rule(run=consumes(running))
    def die(self, run):
        """The process is killed: nobody ends the claim."""

    @rule(target=running, run=consumes(running))
    def renew(self, run):
        if run is not None:
            was_live = self.live_claim(run.key) == run.token
            holds = self.claimed.get(run.key, (None,))[0] == run.token
            renewed = self.calls.renew(run.key, run.token)
            if was_live:
                assert renewed is True, "a live claim could not be renewed"
            if not holds:
                assert renewed is False, "a claim that another one took was renewed"
            if renewed:
                self.claimed[run.key] = run.token, self.now + LEASE
        return run

    @rule(seconds=st.sampled_from([30.0, LEASE - 20, LEASE + 20, TTL + 20]))
    def let_pass(self, seconds):
        self.now += seconds
        self.kind.let_pass(seconds)

    @precondition(lambda self: self.kind.has_a_clock_to_set)
    @rule(seconds=st.sampled_from([HOUR, -HOUR]))
    def set_clock(self, seconds):
        self.now += seconds
        self.kind.let_pass(seconds)

    @invariant()
    def an_unprocessed_event_is_never_taken_for_processed(self):
        for meeting in ("one", "two", "three"):
            if not self.is_remembered(meeting) and self.live_claim(meeting) is None:
                claim = self.store.claim(meeting)
                assert isinstance(claim, Claimed)
                self.store.release(meeting, claim.token)
                self.claimed.pop(meeting, None)
                self.remembered_until.pop(meeting, None)  # though the clock may be set back to before it expired


def test_no_event_is_lost_and_no_completed_meeting_runs_again(store_kind):
    store = store_kind.make(ttl=TTL, lease=LEASE)
    store.claim("before")  # a file has its table from the first step on
    run_state_machine_as_test(
        lambda: OncePerMeetingMachine(store_kind, store),
        settings=settings(
            max_examples={"memory": 100, "sqlite": 40}.get(store_kind.name, 10),
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
