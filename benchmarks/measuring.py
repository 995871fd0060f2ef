"""Ratios out of one run: what is compared is timed in turn, so that what disturbs the machine disturbs all of it.

Time is this process's own (`time.process_time`), so that waiting for a busy processor does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from time import process_time


@dataclass(frozen=True)
class Row:
    """One row of a table: who did what, beside what, and how far it was to reach.

    Args:
        table: the heading of the table.
        name: what was measured.
        beside: what it was divided by.
        at_most: the figure to stay under, if one is set.
        at_least: the figure to stay over, if one is set.
        size: the number that the rows of a chart are drawn over, if they are.
    """

    table: str
    name: str
    beside: str
    at_most: float | None = None
    at_least: float | None = None
    size: int | None = None

    def record(self, benchmark, ratios):
        """Leave the ratios of all rounds in the JSON of pytest-benchmark, for the report."""
        low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else [*ratios] * 3
        benchmark.group = self.table
        benchmark.extra_info.update(vars(self), ratio=middle, quartiles=[low, high])


def measure(benchmark, row, subject, *, unit, bare=None, unit_bare=None, rounds=200):
    """Time `subject` with pytest-benchmark, and before each round what it is compared with.

    Each is a function without arguments, and all do their work equally often. The ratio of a round is
    (subject - bare) / (unit - unit_bare).
    """
    others = []

    def time_the_others():
        others.append([0.0 if other is None else seconds(other) for other in (bare, unit, unit_bare)])

    benchmark.pedantic(subject, setup=time_the_others, rounds=rounds, warmup_rounds=3)
    if benchmark.stats is None:
        return  # --benchmark-disable: the benchmarks run, and nothing is timed
    times = benchmark.stats.stats.data
    row.record(
        benchmark,
        [
            (time - of_bare) / (of_unit - of_unit_bare)
            for time, (of_bare, of_unit, of_unit_bare) in zip(times, others[-len(times) :], strict=True)
        ],
    )


def seconds(run):
    began = process_time()
    run()
    return process_time() - began


def repeat(function, count):
    """Make a function that calls another so many times."""

    def repeated():
        for _ in range(count):
            function()

    return repeated
