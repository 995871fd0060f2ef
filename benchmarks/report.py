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

DOCS = Path(__file__).parent.parent / "docs"
COMPARED = ("fastapi", "starlette", "flask", "django", "slack-bolt", "stripe", "svix", "standardwebhooks", "twilio")
SERVERS = ("uvicorn", "granian", "gunicorn", "waitress")
SNIPPET = "test_the_documented_snippet"

PAGE = """# Benchmarks

<!-- Written by benchmarks/report.py from a run of the benchmarks. -->

What does the guard cost, compared with what people do today? The way that people copy most is MeetGeek's documented
snippet in Starlette's `BaseHTTPMiddleware`. On the same application, it adds many times as much as the guard.

![What one verification costs, and what other ways add to a request](../assets/benchmarks.svg)

All figures are ratios from one run on one machine, of things that were timed in turn. **The documented snippet** is
`hmac.new(secret, body, sha256).hexdigest()` and `compare_digest` on the same body, the least that a receiver can
do. On the documented body of 95 bytes it takes a few microseconds.

For your own application, run [`mg-middleware bench`](../reference/command-line.md#bench).

## All figures

Each table has the median of all rounds, and the range that the middle half of them lies in.

{tables}## How to read them

- **Added** is the difference between the guarded application and the same one without the guard. In these loops the
  processor's caches stay warm. In a real application they don't, and the guard and the snippet both take longer.
- **A middleware of one function** shows how low a figure for one ASGI request can be: it has the check, and nothing
  else. What the guard adds to that is the price of one core for every door, of a verdict for every request, and of
  WSGI applications behind adapters that find their delivery.
- **Unsigned** and **forged** requests are compared with an application that only responds: they show what a refusal
  costs you. The size of an unsigned body doesn't matter, because it's never read.
- The applications under the servers do nothing, so the guard's share is as large as it gets. It shrinks with
  everything that yours does.

## How they were measured

On {date}, on {machine}, with {versions}.

To measure again: `nox -s bench`, then `python benchmarks/report.py benchmarks.json`.
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


def table_of(heading, rows):
    lines = [
        "<details>",
        f"<summary>{heading}</summary>",
        "",
        "| what | beside | ratio | middle half |",
        "|---|---|---:|---|",
    ]
    for row in rows:
        low, high = map(shown, row["quartiles"])
        spread = "" if low == high else f"{low} to {high}"
        # A difference between two large times that is not surely above zero.
        ratio = "in the noise" if row["quartiles"][0] <= 0 else shown(row["ratio"])
        lines.append(f"| {row['name']} | {row['beside']} | {ratio} | {spread} |")
    return "\n".join([*lines, "", "</details>", "", ""])


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


def draw_bars(axes, title, rows):
    """Draw one bar for each row, the shortest at the top, with this package's in another colour."""
    rows = sorted(rows, key=lambda row: row["ratio"], reverse=True)
    names = [
        row["name"].replace(" with the snippet", "").replace(", on a minimal application", " alone") for row in rows
    ]
    bars = axes.barh(
        names,
        [row["ratio"] for row in rows],
        color=["#2a6f97" if row["name"] == "this guard" else "#b8bec4" for row in rows],
    )
    axes.bar_label(bars, [f"{shown(row['ratio'])}x" for row in rows], padding=4)
    axes.set_title(title, loc="left", fontweight="bold", x=-0.55)
    axes.margins(x=0.16)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def draw(tables, path):
    """Draw the chart, the same for the same figures to the byte."""
    mpl.rcParams.update({"svg.hashsalt": "mg-middleware", "svg.fonttype": "none", "font.size": 13})
    figure, (first, second) = plt.subplots(2, 1, figsize=(7, 6.6), layout="constrained", facecolor="white")
    others = [row for row in tables["Other ways to check, on the same application"] if row["quartiles"][0] > 0]
    itself = {"name": "this guard", "ratio": 1.0}
    draw_bars(first, "Added to one request (this guard: 1)", [*others, itself])
    guard = "this guard, whole, 95 B"
    core = [{**row, "name": "this guard"} for rows in tables.values() for row in rows if row["name"] == guard]
    peers = tables["One verification of 95 bytes, by other packages for their own senders"]
    snippet = {"name": "documented snippet", "ratio": 1.0}
    draw_bars(second, "One verification (the snippet: 1)", [*core, snippet, *peers])
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
