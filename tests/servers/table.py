"""Write the table of expectations for the documentation: `PYTHONPATH=tests python -m servers.table`."""

from __future__ import annotations

from servers.expectations import CASES, DIFFERENCES, EXCHANGES


def _named():
    yield from ((name, case.title, case.expected) for name, case in CASES.items())
    yield from ((name, title, answers) for name, (title, answers) in EXCHANGES.items())


def _line(*cells):
    return f"| {' | '.join(cells)} |"


def _either(answers):
    return " *or* ".join(answers)


def usual():
    """Write what every server does that is not named in the other table."""
    rows = [_line(title, _either(answers)) for _, title, answers in _named()]
    return "\n".join([_line("case", "usual outcome"), _line("---", "---"), *rows])


def differences():
    """Write what differs, the servers that differ alike in one row."""
    rows = []
    for name, title, _ in _named():
        alike = {}
        for server, cells in DIFFERENCES.items():
            if name in cells:
                alike.setdefault(cells[name], []).append(server)
        rows += [_line(title, _either(answers), ", ".join(servers)) for answers, servers in alike.items()]
    return "\n".join([_line("case", "outcome", "servers"), _line("---", "---", "---"), *rows])


if __name__ == "__main__":
    print(usual(), differences(), sep="\n\n")  # noqa: T201 - this is what it is for
