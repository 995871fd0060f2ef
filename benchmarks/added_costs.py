"""What a guard adds to one request, over the bare application and beside others: the same for both protocols."""

from __future__ import annotations

from time import process_time

import pytest
from applications import PATH
from measuring import Row, measure, repeat
from requests_to_send import ELSEWHERE, FORGED, GENUINE, UNSIGNED, UNSIGNED_50_MB
from verifications import SECRET, made_up_body, snippet

from mg_middleware import MemoryStore
from mg_middleware.cli.bench import Laboratory

IN_PROCESS = pytest.mark.benchmark(timer=process_time)
COUNT = 50
SNIPPET = "the documented snippet"


def added(benchmark, protocol, guard, name, *, app, bare, options, request, path=PATH, at_most=None):
    """Measure what guarding adds to a minimal application."""
    with Laboratory(app, protocol) as laboratory:
        guarded = guard(app, SECRET, **options)
        row = Row(f"Added to one {protocol.upper()} request of 95 bytes", name, SNIPPET, at_most)
        measure(
            benchmark,
            row,
            laboratory.batch(guarded, request, path, COUNT),
            bare=laboratory.batch(bare, request, path, COUNT),
            unit=repeat(snippet(made_up_body(95)), COUNT),
        )


def cases(genuine_at_most):
    """The kinds of requests: a name, and what differs from a genuine one to a guard of all paths."""
    return {
        "genuine": {"at_most": genuine_at_most},
        "genuine, paths= given": {"options": {"paths": PATH}},
        "forged": {"request": FORGED, "refused": True},
        "unsigned": {"request": UNSIGNED, "refused": True, "at_most": 0.7},
        "unsigned, of 50 MB": {"request": UNSIGNED_50_MB, "refused": True, "at_most": 0.7},
        "path not guarded, paths= given": {
            "request": UNSIGNED,
            "path": ELSEWHERE,
            "options": {"paths": PATH},
            "at_most": 0.3,
        },
    }


def measure_case(benchmark, protocol, guard, name, case, app, answering_app):
    """Measure one of `cases`. What is refused is compared with an application that only answers."""
    case = {"request": GENUINE, "options": {}, **case}
    bare = answering_app if case.pop("refused", False) else app
    added(benchmark, protocol, guard, name, app=app, bare=bare, **case)


def measure_memory_store(benchmark, protocol, guard, app):
    """Measure what processing each meeting once adds to a guarded request."""
    with Laboratory(app, protocol) as laboratory:
        # Every delivery is the first one: what is complete is forgotten at once.
        remembering = guard(app, SECRET, idempotency_store=MemoryStore(ttl=1e-9))
        row = Row(
            f"Added to one {protocol.upper()} request of 95 bytes", "MemoryStore, over the guard alone", SNIPPET, 4.0
        )
        measure(
            benchmark,
            row,
            laboratory.batch(remembering, GENUINE, PATH, COUNT),
            bare=laboratory.batch(guard(app, SECRET), GENUINE, PATH, COUNT),
            unit=repeat(snippet(made_up_body(95)), COUNT),
        )


def measure_alternative(benchmark, protocol, guard, name, *, bare, checked, request=GENUINE, at_least=None, rounds=200):
    """Measure what another way to check signatures adds to an application, beside what the guard adds to it."""
    with Laboratory(bare, protocol) as laboratory, Laboratory(checked, protocol) as checked_laboratory:
        guarded = guard(bare, SECRET)
        batches = [laboratory.batch(app, request, PATH, 20) for app in (bare, guarded)]
        assert laboratory.response(request, PATH).status == checked_laboratory.response(request, PATH).status == 200
        unsigned = request.with_signature().with_header("X-Slack-Signature", "v0=0")
        assert checked_laboratory.response(unsigned, PATH).status == 401
        row = Row("Other ways to check, on the same application", name, "what the guard adds", at_least=at_least)
        checking = checked_laboratory.batch(checked, request, PATH, 20)
        measure(benchmark, row, checking, bare=batches[0], unit=batches[1], unit_bare=batches[0], rounds=rounds)


def measure_share(benchmark, protocol, guard, name, app):
    """Measure what guarding adds to an application of a framework, as a share of its own time."""
    with Laboratory(app, protocol) as laboratory:
        assert laboratory.response(GENUINE, PATH).status == 200
        bare, guarded = (laboratory.batch(each, GENUINE, PATH, 20) for each in (app, guard(app, SECRET)))
        row = Row("Added to one request of an application that does nothing", name, "the application's own time")
        measure(benchmark, row, guarded, bare=bare, unit=bare)
