"""Turns the JSON of pytest-benchmark into the page and the chart of the documentation.

    pytest benchmarks --benchmark-json=benchmarks.json
    python benchmarks/report.py benchmarks.json

The page holds ratios and no times: times tell about one machine.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

DOCS = Path(__file__).parent.parent / "docs"
COMPARED = ("fastapi", "starlette", "flask", "django", "slack-bolt", "stripe", "svix", "standardwebhooks", "twilio")
SERVERS = ("uvicorn", "granian", "gunicorn", "waitress")
SNIPPET = "test_the_documented_snippet"

PAGE = """# Benchmarks

<!-- Written by benchmarks/report.py out of a run of the benchmarks. -->

What does guarding cost, and what would other ways cost? All figures are ratios, out of one run on one machine, of
things that were timed in turn: the median of all rounds, and between which values the middle half of them lies. Most
are relative to **the documented snippet**: `hmac.new(secret, body, sha256).hexdigest()` and `compare_digest` on the
same body, the least that a receiver can do. On the documented body of 95 bytes it takes a few microseconds.

![One verification, other ways to check, and growth with the size of the body](../assets/benchmarks.svg)

Measured on {date} on {machine}, with {versions}.

To measure again: `nox -s bench` and
`python benchmarks/report.py benchmarks.json`. For your own application:
[`mg-middleware bench`](../reference/command-line.md#bench).

{tables}## How to read this

- **Added** is the difference between the guarded application and the same one without the guard. In these loops the
  processor has everything at hand. Between the requests of a real application it has not, and both the guard and the
  snippet take longer.
- **Unsigned** and **forged** requests are compared with an application that does nothing but answer: what a refusal
  costs you. The size of an unsigned body does not matter, because it is never read.
- **Reach** is what was aimed for. What was not reached is taken apart under "Where the time with a MemoryStore goes"
  and, for the servers, by the rows of the snippet.
- The applications under the servers do nothing, and between two requests the processor has forgotten the code of
  either check: the snippet alone takes much of what the guard takes. Its share falls with everything that yours does.
"""


def rows_of(benchmarks):
    """Give the rows of each table, in the order in which they were measured."""
    tables = defaultdict(list)
    for benchmark in benchmarks:
        if "ratio" in benchmark["extra_info"]:
            tables[benchmark["extra_info"]["table"]].append(benchmark["extra_info"])
    # What a guarded request costs with a store stands elsewhere.
    stores = [
        each
        for each in benchmarks
        if "test_stores.py" in each["fullname"] and "guarded" not in each["name"] and "ratio" not in each["extra_info"]
    ]
    snippet = next((benchmark["stats"]["median"] for benchmark in stores if benchmark["name"] == SNIPPET), None)
    for benchmark in stores:
        if benchmark["name"] != SNIPPET and snippet:
            name = benchmark["name"].removeprefix("test_").replace("[", ", ").replace("]", " keys held")
            quartiles = [benchmark["stats"][quartile] / snippet for quartile in ("q1", "q3")]
            row = {"name": name, "beside": "the documented snippet", "ratio": benchmark["stats"]["median"] / snippet}
            tables["Remembering one delivery"].append(row | {"quartiles": quartiles, "at_most": None, "at_least": None})
    return tables


def shown(value):
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def reach_of(row):
    """Say how far a figure was to reach, and whether it does."""
    for word, bound, reached in (
        ("at most", row["at_most"], row["at_most"] is not None and row["ratio"] <= row["at_most"]),
        ("at least", row["at_least"], row["at_least"] is not None and row["ratio"] >= row["at_least"]),
    ):
        if bound is not None:
            return f"{word} {bound:g}: {'reached' if reached else '**not reached**'}"
    return ""


def table_of(heading, rows):
    lines = [f"## {heading}", "", "| what | beside | ratio | middle half | reach |", "|---|---|---:|---|---|"]
    for row in rows:
        low, high = map(shown, row["quartiles"])
        spread = "" if low == high else f"{low} to {high}"
        # A difference between two large times that is not surely above zero.
        ratio = "in the noise" if row["quartiles"][0] <= 0 else shown(row["ratio"])
        lines.append(f"| {row['name']} | {row['beside']} | {ratio} | {spread} | {reach_of(row)} |")
    return "\n".join([*lines, "", ""])


def page(report, tables):
    machine = report["machine_info"]
    processor = machine["cpu"].get("brand_raw", machine["machine"])
    return PAGE.format(
        date=report["datetime"][:10],
        machine=f"a {machine['system']} machine of {machine['cpu'].get('count')} processors ({processor})",
        versions=",\n".join(
            [
                f"{machine['python_implementation']} {machine['python_version']}",
                *(f"{name} {version(name)}" for name in (*COMPARED, *SERVERS)),
            ]
        ),
        tables="".join(table_of(heading, rows) for heading, rows in tables.items()),
    )


def draw_bars(axes, title, beside, rows):
    """Draw one bar for each row, shortest first, those of this package in another colour."""
    rows = sorted(rows, key=lambda row: row["ratio"], reverse=True)
    names = [row["name"].replace(" with the snippet", "") for row in rows]
    bars = axes.barh(
        names,
        [row["ratio"] for row in rows],
        color=["#2a6f97" if row["name"] == "this guard" else "#b8bec4" for row in rows],
    )
    axes.bar_label(bars, [shown(row["ratio"]) for row in rows], padding=3)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(f"times {beside}")
    axes.margins(x=0.12)
    axes.axvline(1, color="#444444", linewidth=0.8, linestyle=":")
    axes.spines[["top", "right"]].set_visible(False)


def draw(tables, path):
    """Draw the chart, the same for the same figures to the byte."""
    mpl.rcParams.update({"svg.hashsalt": "mg-middleware", "svg.fonttype": "none", "font.size": 9})
    figure, (first, second, third) = plt.subplots(
        3, 1, figsize=(9, 9), height_ratios=[3, 3, 3], layout="constrained", facecolor="white"
    )
    guard = "this guard, whole, 95 B"
    core = [{**row, "name": "this guard"} for rows in tables.values() for row in rows if row["name"] == guard]
    peers = tables["One verification of 95 bytes, by other packages for their own senders"]
    draw_bars(first, "One verification of 95 bytes", "the documented snippet", [*core, *peers])
    others = [row for row in tables["Other ways to check, on the same application"] if row["quartiles"][0] > 0]
    itself = {"name": "this guard", "ratio": 1.0}
    draw_bars(second, "Added to one request, on the same application", "what the guard adds", [*others, itself])
    growth = tables["Growth with the size of the body"]
    third.plot([row["size"] for row in growth], [row["size"] * row["ratio"] for row in growth], "o-", color="#2a6f97")
    third.set_title("Growth with the size of the body: linear", loc="left", fontweight="bold")
    third.set(xscale="log", yscale="log", xlabel="size of the body, times 64 KiB", ylabel="time, times that of 64 KiB")
    for axis in (third.xaxis, third.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    third.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("report", type=Path, help="the file that --benchmark-json wrote")
    parser.add_argument("--picture", type=Path, help="draw the chart to this file as well, such as chart.png")
    arguments = parser.parse_args()
    report = json.loads(arguments.report.read_text())
    tables = rows_of(report["benchmarks"])
    (DOCS / "explanation" / "benchmarks.md").write_text(page(report, tables))
    for path in filter(None, (DOCS / "assets" / "benchmarks.svg", arguments.picture)):
        draw(tables, path)


if __name__ == "__main__":
    main()
