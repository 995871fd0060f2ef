"""The invariant of the fuzzer on a hundred requests for each target; `python tools/fuzzing` tries many more."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "fuzzing"))

from hostile_requests import TARGETS, requests
from invariant import check_asgi, check_wsgi

pytestmark = pytest.mark.slow


def fuzz_test(wild, examples=100):
    """Make the test of one target: by itself a test of Hypothesis, and what libFuzzer feeds with bytes."""

    @given(requests(wild))
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    def a_verdict_or_a_documented_error(request):
        check_asgi(request)
        check_wsgi(request)

    return a_verdict_or_a_documented_error


@pytest.mark.parametrize("target", TARGETS)
def test_a_verdict_or_a_documented_error(target):
    fuzz_test(TARGETS[target])()
