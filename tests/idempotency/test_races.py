"""Many deliveries at once: one meeting runs once, many meetings run once each."""

import asyncio
import random
from collections import Counter

import pytest
from once_per_meeting import SECRET, BlockingStore, CoroutineStore, asgi_application, receive_asgi_answer, succeeded

from mg_middleware import MeetGeekASGIMiddleware, MemoryStore

# Seconds by themselves, minutes where tracing meets a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("protocol", ["ASGI", "WSGI"])
def test_eight_processes_get_one_meeting_eight_times_each_and_run_it_once(workers, shared, protocol):
    for _ in range(8):
        workers.start(*shared, protocol, ["m-1"] * 8, at_once=8, seconds=0.1)
    workers.go()
    statuses = Counter(workers.statuses())
    assert workers.runs() == {"m-1": 1}
    assert set(statuses) <= {200, 409}
    assert statuses.total() == 64


def test_eight_processes_get_the_same_meetings_and_run_each_once(workers, shared):
    meetings = [f"m-{number}" for number in range(250)]
    for process in range(8):
        shuffled = random.Random(process).sample(meetings, len(meetings))  # noqa: S311 - no secret
        workers.start(*shared, ["ASGI", "WSGI"][process % 2], shuffled, at_once=4)
    workers.go()
    statuses = Counter(workers.statuses())
    assert workers.runs() == Counter(meetings)
    assert statuses[200] + statuses[409] == 8 * len(meetings)


@pytest.mark.parametrize("meetings", [["m-1"] * 64, [f"m-{number}" for number in range(1000)]], ids=["one", "1000"])
def test_threads_of_one_process_run_each_meeting_once(workers, meetings):
    workers.start("memory", "", "WSGI", meetings, at_once=64, seconds=0.01)
    workers.go()
    assert set(workers.statuses()) <= {200, 409}
    assert workers.runs() == Counter(set(meetings))


@pytest.mark.parametrize(
    "wrap", [lambda store: store, BlockingStore, CoroutineStore], ids=["instant", "blocking", "async"]
)
@pytest.mark.parametrize("meetings", [["m-1"] * 64, [f"m-{number}" for number in range(1000)]], ids=["one", "1000"])
def test_tasks_of_one_loop_run_each_meeting_once(wrap, meetings):
    runs = Counter()

    async def handle(body):
        runs[body] += 1
        await asyncio.sleep(0.01)
        return 200

    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=wrap(MemoryStore()))

    async def deliver_all():
        return await asyncio.gather(*(receive_asgi_answer(guarded, succeeded(meeting)) for meeting in meetings))

    answers = asyncio.run(deliver_all())
    assert runs == Counter({succeeded(meeting) for meeting in meetings})
    assert {answer.status for answer in answers} <= {200, 409}
