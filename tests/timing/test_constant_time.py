"""How far a wrong signature is right does not show in the time: Welch's t-test on interleaved measurements (dudect).

A right signature is no class here: that it is right, the answer tells, and the branch that makes the answer shows in a
measurement this fine. What must not show is how near a wrong one comes.
"""

import hashlib
import hmac
import math
import random
import statistics
import time
from itertools import combinations

import pytest

from mg_middleware import signature

pytestmark = [pytest.mark.timing, pytest.mark.timeout(600)]

SAMPLES = 1_200_000  # in all classes together
SUSPICIOUS = 4.5  # the bound of Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?" (2016)
KEPT = 0.8  # of the quickest measurements; the slowest are interrupts and the like

SECRET, BODY = b"a secret for the test of time", b'{"message": "File analyzed failed"}'
KEY = signature.Key(SECRET)
HASHED = KEY.begin()
HASHED.update(BODY)
RIGHT = KEY.signature(HASHED).encode()


def wrong_at(*positions):
    digits = bytearray(RIGHT)
    for position in positions:
        digits[position] = ord("1") if digits[position] == ord("0") else ord("0")
    return bytes(digits)


RECEIVED = {"first": wrong_at(0), "last": wrong_at(63), "every": wrong_at(*range(64))}


def measure(compare):
    """Time a comparison over and over, with the classes in random order, in nanoseconds."""
    generator = random.Random(2026)  # noqa: S311 - only the order of measurements is drawn
    names = list(RECEIVED)
    times = {name: [] for name in names}
    received = bytearray(64)  # one place in memory for all classes, since the place itself takes its time
    clock = time.perf_counter_ns
    for _ in range(SAMPLES // len(names)):
        generator.shuffle(names)
        for name in names:
            received[:] = RECEIVED[name]
            began = clock()
            compare(HASHED, received)
            ended = clock()
            times[name].append(ended - began)
    return times


def welch(left, right):
    """Welch's t of two samples, each without its slowest part; the threshold is one for both."""
    threshold = sorted(left + right)[int(KEPT * (len(left) + len(right)))]
    left, right = ([value for value in sample if value <= threshold] for sample in (left, right))
    spread = statistics.variance(left) / len(left) + statistics.variance(right) / len(right)
    return (statistics.fmean(left) - statistics.fmean(right)) / math.sqrt(spread)


def largest_difference(compare):
    times = measure(compare)
    difference, left, right = max((abs(welch(times[a], times[b])), a, b) for a, b in combinations(RECEIVED, 2))
    print(f"\n{compare.__name__}: |t| = {difference:.2f}, {left} digit wrong / {right} digit wrong")  # noqa: T201
    return difference


def leaky(hashed, received):
    for expected, digit in zip(KEY.signature(hashed).encode(), received, strict=True):
        if expected != digit:
            return None
    return KEY


def test_the_comparison_shows_no_difference():
    assert largest_difference(KEY.matching) < SUSPICIOUS


def test_a_leaky_comparison_is_seen():
    assert largest_difference(leaky) > 10 * SUSPICIOUS


def test_what_is_measured_is_the_comparison_of_the_guard():
    assert hmac.new(SECRET, BODY, hashlib.sha256).hexdigest() == RIGHT.decode()
    assert KEY.matching(HASHED, RIGHT) is KEY
    assert [KEY.matching(HASHED, received) for received in RECEIVED.values()] == [None, None, None]
