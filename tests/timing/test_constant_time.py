"""How far a wrong signature is right does not show in the time: Welch's t-test on interleaved measurements (dudect).

What must not show is how near a wrong signature comes. Right ones are measured among the wrong ones, and their time is
printed, not judged: a right one takes some 20 ns longer. `compare_digest` by itself takes half of that longer to say
True where False is the usual answer, which a processor guesses; and the answer is told anyway.
"""

import hashlib
import hmac
import math
import random
import statistics
import time
from itertools import combinations

import pytest

from mg_middleware._keys import Key, is_authentic

pytestmark = [pytest.mark.timing, pytest.mark.timeout(600)]

SAMPLES = 1_600_000  # in all classes together, a quarter in each
SUSPICIOUS = 4.5  # the bound of Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?" (2016)
KEPT = 0.8  # of the quickest measurements; the slowest are interrupts and the like

SECRET, BODY = b"a secret for the test of time", b'{"message": "File analyzed failed"}'
MAC = Key(SECRET).begin()
MAC.update(BODY)
RIGHT = MAC.hexdigest().encode()


def match(received):
    """The guard's own comparison."""
    return is_authentic(MAC, received)


def wrong_at(*positions):
    digits = bytearray(RIGHT)
    for position in positions:
        digits[position] = ord("1") if digits[position] == ord("0") else ord("0")
    return bytes(digits)


WRONG = {"first digit wrong": wrong_at(0), "last digit wrong": wrong_at(63), "all wrong": wrong_at(*range(64))}
RECEIVED = WRONG | {"right": RIGHT}


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
            compare(received)
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
    """Measure; gives the largest |t| between two kinds of wrong signatures, and prints that of each pair."""
    times = measure(compare)
    found = {pair: abs(welch(times[pair[0]], times[pair[1]])) for pair in combinations(RECEIVED, 2)}
    print()  # noqa: T201
    for pair, difference in found.items():
        print(f"{compare.__name__}: |t| = {difference:.2f}, {' / '.join(pair)}")  # noqa: T201
    return max(difference for pair, difference in found.items() if "right" not in pair)


def leaky(received):
    return all(expected == digit for expected, digit in zip(MAC.hexdigest().encode(), received, strict=True))


def test_the_comparison_shows_no_difference():
    assert largest_difference(match) < SUSPICIOUS


def test_a_leaky_comparison_is_seen():
    assert largest_difference(leaky) > 10 * SUSPICIOUS


def test_what_is_measured_is_the_comparison_of_the_guard():
    assert hmac.new(SECRET, BODY, hashlib.sha256).hexdigest() == RIGHT.decode()
    assert match(RIGHT)
    assert not any(match(received) for received in WRONG.values())
