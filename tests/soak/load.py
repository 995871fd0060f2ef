"""Deliver at full speed for some seconds: `python -m soak.load PORT SECONDS NAME`; prints what was seen as JSON.

Two threads deliver each meeting, as MeetGeek does for two members of a team, so that a delivery often meets another one
of the same meeting. Between the genuine deliveries come forgeries of several kinds.
"""

import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from servers.expectations import delivery, forged_signature, genuine_signature
from servers.wire import Connection, NoAnswerError, request

PAIRS = 2
_TRIES = 200
_BUSY = 409


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


def _deliver_for(port, seconds, name):
    """Deliver until the time is over; count the answers to each kind and name the meetings that were acknowledged."""
    deliverer = Deliverer(port)
    seen = Counter()
    meetings = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        meeting = f"{name}-{len(meetings)}"
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
        names = [f"{name}-{number // 2}" for number in range(2 * PAIRS)]
        for thread_seen, thread_meetings in threads.map(lambda pair: _deliver_for(port, seconds, pair), names):
            seen += thread_seen
            meetings.update(thread_meetings)
    answers = [[kind, status, times] for (kind, status), times in seen.items()]
    json.dump({"answers": answers, "meetings": sorted(meetings)}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
