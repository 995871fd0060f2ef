"""Deliver at full speed for some seconds: `python -m soak.load PORT SECONDS NAME`; prints what was seen as JSON.

Two threads deliver each meeting at the same time, as MeetGeek may for two members of a team. Between the genuine
deliveries come forgeries of several kinds.
"""

import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from servers.expectations import delivery, forged_signature, genuine_signature
from servers.wire import Connection, NoAnswerError, request

PAIRS = 2
_TRIES = 200
_BUSY = 409


class Pair:
    """Two threads in step: neither begins a meeting before the other, and both stop after the same one."""

    def __init__(self, name, deadline):
        self.name = name
        self._deadline = deadline
        self._barrier = Barrier(2, self._look_at_the_clock, timeout=60)

    def goes_on(self):
        self._barrier.wait()
        return self._in_time

    def _look_at_the_clock(self):
        self._in_time = time.monotonic() < self._deadline


class Deliverer:
    """One thread with one connection, which is opened again where the server closes it."""

    def __init__(self, port):
        self._port = port
        self._connection = None

    def deliver(self, content):
        for _ in range(3):
            if self._connection is None:
                self._connection = Connection(self._port, timeout=30)
            try:
                self._connection.send(content)
                answer = self._connection.receive_answer()
            except NoAnswerError:  # a kept connection that the server has closed in the meantime
                self._connection.close()
                self._connection = None
                continue
            if "close" in answer.values("connection"):
                self._connection.close()
                self._connection = None
            return answer.status
        return None


def _forgeries(body):
    genuine = genuine_signature(body)
    return {
        "forged": request(body, signatures=[forged_signature(body)]),
        "missing": request(body),
        "duplicate": request(body, signatures=[genuine, genuine]),
        "upper-case": request(body, signatures=[genuine.upper()]),
        "changed": request(body + b" ", signatures=[genuine]),
    }


def _deliver(port, pair):
    """Deliver until the time is over; count the answers to each kind and name the meetings."""
    deliverer = Deliverer(port)
    seen = Counter()
    meetings = []
    while pair.goes_on():
        meeting = f"{pair.name}-{len(meetings)}"
        body = delivery(meeting)
        content = request(body, signatures=[genuine_signature(body)])
        for _ in range(_TRIES):
            status = deliverer.deliver(content)
            if status != _BUSY:
                break
            seen["busy", status] += 1
            time.sleep(0.01)
        seen["genuine", status] += 1
        meetings.append(meeting)
        kind, forgery = list(_forgeries(body).items())[len(meetings) % 5]
        seen[kind, deliverer.deliver(forgery)] += 1
    return seen, meetings


def main(port, seconds, name):
    seen, meetings = Counter(), set()
    with ThreadPoolExecutor(2 * PAIRS) as threads:
        pairs = [Pair(f"{name}-{number}", time.monotonic() + seconds) for number in range(PAIRS)]
        for thread_seen, thread_meetings in threads.map(lambda pair: _deliver(port, pair), [*pairs, *pairs]):
            seen += thread_seen
            meetings.update(thread_meetings)
    answers = [[kind, status, times] for (kind, status), times in seen.items()]
    json.dump({"answers": answers, "meetings": sorted(meetings)}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
