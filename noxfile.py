"""Every check of this project, each in an environment of its own.

`nox -l` lists them, `nox -s lint` runs one, and what follows `--` goes to the program that it runs. `.ci/run` and the
workflows run the same sessions. Another Python: `nox -s tests --force-python 3.14`.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.error_on_external_run = True

PROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = ",".join(PROJECT["project"]["optional-dependencies"])
# What describes the project to others, by the schema that each has to follow.
DESCRIBED = {
    "vendor.github-workflows": Path(".github/workflows").glob("*.yml"),
    "vendor.github-issue-forms": [".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/idea.yml"],
    "vendor.github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "vendor.dependabot": [".github/dependabot.yml"],
    "vendor.readthedocs": [".readthedocs.yaml"],
    "vendor.citation-file-format": ["CITATION.cff"],
}
# Tests wait for servers and deadlines about as long as for a processor.
WORKERS = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", str(1 + (os.cpu_count() or 1)))
# The tests assert, so Python must not strip assertions.
TESTING = {"PYTHONOPTIMIZE": ""}


def install(session: nox.Session, *groups: str, extras: str = EXTRAS) -> None:
    """Install the project with its extras, and dependency groups; MG_MIDDLEWARE_WHEEL may name a wheel to test."""
    project = os.environ.get("MG_MIDDLEWARE_WHEEL", ".")
    # Most of what is installed is never imported, so bytecode is left to the first import.
    wanted = f"{project}[{extras}]" if extras else project
    session.install("--no-compile", wanted, *nox.project.dependency_groups(PROJECT, *groups))


def run_tests(session: nox.Session, *command: str) -> None:
    """Run the tests, then those that failed once more, alone: on a busy machine some miss their deadlines."""
    try:
        session.run(*command, "-n", WORKERS, "--dist=worksteal", *session.posargs, env=TESTING)
    except nox.command.CommandFailed:
        again = ("--last-failed", "--last-failed-no-failures=none")  # none: then something else went wrong
        session.run(*command, *again, *session.posargs, env=TESTING)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the installed package; after `--`: arguments for pytest, such as `-m slow`."""
    install(session, "tests")
    run_tests(session, "pytest")


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests, and say which branches they do not cover."""
    install(session, "tests")
    session.run("coverage", "erase")
    # The script, not `-m pytest`: the latter would import the packages from the checkout instead of the installed ones.
    run_tests(session, "coverage", "run", f"{session.bin}/pytest")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format, the shell scripts, and the workflows and other descriptions of the project."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("shellcheck", "--severity=warning", *Path(".ci").iterdir())
    session.run("zizmor", "--offline", "--quiet", "--persona=pedantic", ".github")
    session.run("pre-commit", "validate-config")
    for schema, files in DESCRIBED.items():
        session.run("check-jsonschema", f"--builtin-schema={schema}", *files, silent=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright: of the packages, of what users write, and of what the pages show."""
    install(session, "tests", "lint")
    python = f"{session.bin}/python"
    session.run("mypy", f"--python-executable={python}")
    session.run("pyright", f"--pythonpath={python}")
    with session.chdir(session.create_tmp()):  # where the checkout cannot be imported
        for package in ("mg_middleware", "pytest_meetgeek"):
            session.run("pyright", f"--pythonpath={python}", "--verifytypes", package, "--ignoreexternal")
    session.run("pytest", "-m", "types", *session.posargs, env=TESTING)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into `site`, and try its search."""
    install(session, "docs", extras="")
    session.run("sphinx-build", "-q", "-W", "-n", "-b", "html", "docs", "site", *session.posargs)
    session.run("python", "tools/check_site.py", "site")


@nox.session
def installs(session: nox.Session) -> None:
    """Test what is installed afresh: each extra on each Python, the oldest pytest, other plugins, "Getting started"."""
    install(session, "tests")
    session.run("pytest", "-m", "installs", *session.posargs, env=TESTING)


@nox.session
def servers(session: nox.Session) -> None:
    """Run the guard under every server that can be installed from PyPI; uWSGI needs a C compiler."""
    install(session, "tests", "servers")
    session.run("pytest", "tests/servers", "--all-servers", *session.posargs, env=TESTING)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what the guard costs beside the alternatives; takes minutes, and wants a quiet machine."""
    install(session, "bench")
    session.run("pytest", "benchmarks", "--benchmark-json=benchmarks.json", *session.posargs, env=TESTING)


@nox.session
def mutation(session: nox.Session) -> None:
    """Print how many small faults in the guard the tests find, and the ones that they do not; takes long."""
    install(session, "mutation")
    session.run("python", "tools/mutation", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Send hostile requests for ten minutes; after `--`: another number of seconds."""
    install(session, "fuzz")
    session.run("python", "tools/fuzzing", *session.posargs)
