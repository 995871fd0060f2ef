"""Runs every code block of one page, in its order, in a folder and a process of its own; prints how many there were.

    python run_page.py PAGE [--literally]

What a block is decides how it is run:

- `python` is run in the page's namespace. With `:caption: name` it is written to that file instead, and some later
  block must run or import the file.
- `console`: each `$ command` is run by one shell, and what it prints is compared with the lines below it, in which
  `...` stands for anything. A server runs until the next one starts or the page ends. Ports 8000 and 8001 are replaced
  by free ones. Commands that install are only checked for the names of what they install, unless the page is run
  `--literally`: then they are run as well, in a fresh virtual environment.
- `text` is what a reader sees: a step compares `page.shown` with the real thing. Without a step, the running server
  must have printed it.
- `ini`, `json`, `nginx`, `toml` and `yaml` are parsed, and written to a file where they have a caption.
- Directives of Sphinx are run by the build of the site.

All else is an error. What is checked besides is in the steps of the page: see `steps.py`.
"""

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from configparser import ConfigParser
from contextlib import ExitStack, suppress
from importlib.metadata import distribution
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import crossplane
import yaml
from packaging.requirements import Requirement
from steps import SECRET, STEPS, Step, free_port, listens
from sybil import Document, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.myst.lexers import DirectiveLexer
from sybil.region import Lexeme

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
STEPS_OF_PAGES = Path(__file__).with_name("pages")
SERVERS = ("flask run", "gunicorn", "hypercorn", "mg-middleware serve", "uvicorn", "waitress-serve")
PREPARATIONS = ("python3 -m venv", ". .venv/bin/activate", "pip install")
DIRECTIVES = {"automodule", "autoclass", "autoexception", "autofunction", "eval-rst", "image", "include", "toctree"}
PATIENCE = 60  # seconds
CANNOT = 77  # the exit status where something that the page needs is not on this machine
DONE = "the command ended with"


class Page:
    """One page while it runs: its folder, its shell, its server, and what has been written and shown so far."""

    def __init__(self, path: Path, folder: Path, *, literally: bool) -> None:
        self.path = path
        self.folder = folder
        self.literally = literally
        self.port = free_port()
        self.inspector_port = free_port()
        self.ran = 0
        self.files: set[Path] = set()
        self.commands: list[str] = []
        self.unchecked = ""
        self.steps: list[Step] = []
        self.names = SimpleNamespace()
        self.server: int | None = None
        self.log = folder / ".server.log"
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MEETGEEK_", "PYTHON", "VIRTUAL_ENV"))
        }
        if "export MEETGEEK_WEBHOOK_SECRET" not in path.read_text(encoding="utf-8"):
            environment["MEETGEEK_WEBHOOK_SECRET"] = SECRET
        os.environ["MEETGEEK_WEBHOOK_SECRET"] = SECRET
        # In a fresh environment there is but an interpreter, under the name that the page uses.
        programs = folder / ".programs" if literally else Path(sys.executable).parent
        if literally:
            programs.mkdir()
            (programs / "python3").symlink_to(Path(sys.executable).resolve())
        environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
        if not literally:
            environment["PYTEST_ADDOPTS"] = "-p no:asyncio"  # it is here for other tests, and complains
        environment["COLUMNS"] = "80"
        environment["PYTHONUNBUFFERED"] = "1"
        self.environment = environment
        self.shells: list[subprocess.Popen[str]] = []
        self.databases = []
        self.open_terminal()

    def open_terminal(self) -> None:
        """Open a terminal, which knows nothing of what was typed into another."""
        self.shell = subprocess.Popen(
            ("bash", "--noprofile", "--norc"),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.shells.append(self.shell)

    def evaluate(self, example) -> str | None:
        """Run one block; what is wrong with it, if anything."""
        kind, caption, source = example.parsed
        self.ran += 1
        self.names = SimpleNamespace(**example.namespace)
        steps = [step for step in STEPS if step.belongs_to(caption, source)]
        self.steps += steps
        for step in steps:
            if step.is_before:
                step.function(self)
        fault = self.run_block(example, kind, caption, source)
        if fault is not None:
            return fault
        self.names = SimpleNamespace(**example.namespace)
        for step in steps:
            if not step.is_before:
                step.function(self)
        if self.unchecked and self.server is not None:
            self.check_log(self.shown)
        return None

    @property
    def shown(self) -> str:
        """The text block, for the step that checks it."""
        text, self.unchecked = self.unchecked, ""
        return text

    def run_block(self, example, kind: str, caption: str | None, source: str) -> str | None:
        """Run one block by itself; what is wrong with it, if anything."""
        if self.unchecked:
            return f"nothing has checked what is shown above:\n{self.unchecked}"
        if caption is not None:
            self.write(kind, caption, source)
        elif kind == "python":
            run_python(example, Lexeme(self.local(source), source.offset, source.line_offset))
        if kind in DIRECTIVES | {"python"}:
            return None
        ways = {
            "console": self.run_console,
            "ini": ConfigParser().read_string,
            "json": json.loads,
            "nginx": parse_nginx,
            "text": self.show,
            "toml": tomllib.loads,
            "yaml": yaml.safe_load,
        }
        if kind not in ways:
            return f"nobody knows how to run a block of {kind!r}"
        fault = ways[kind](source)
        return fault if isinstance(fault, str) else None

    def write(self, kind: str, caption: str, source: str) -> None:
        """Write a block to the file that its caption names."""
        file = self.folder / caption
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.local(source), encoding="utf-8")
        if kind == "python":
            compile(source, file, "exec")
            self.files.add(file)

    def show(self, source: str) -> None:
        """Keep what the page shows for the step that checks it."""
        self.unchecked = source

    def run_console(self, source: str) -> str | None:
        """Run the commands of one block and compare what they print."""
        for command, expected in commands_of(source):
            self.commands.append(command)
            if command.startswith(PREPARATIONS) and not self.literally:
                if command.startswith("pip install"):
                    require_installed(command)
                continue
            if command.startswith(SERVERS):
                fault = self.start(command, expected)
            else:
                printed, status = self.type(command)
                if matches(expected, printed) and (status == "0" or expected):
                    fault = None
                else:
                    fault = f"{command}\nended with {status} and printed\n{printed}"
            if fault is not None:
                return fault
        return None

    def type(self, command: str) -> tuple[str, str]:
        """Type one command into the shell; what it printed and its exit status."""
        command = self.local(command)
        self.shell.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{DONE} %s\\n' $?\n")
        self.shell.stdin.flush()
        lines = []
        for line in self.shell.stdout:
            if line.startswith(DONE):
                return self.neutral("".join(lines)), line.removeprefix(DONE).strip()
            lines.append(line)
        raise RuntimeError(f"the shell ended in {command}")

    def start(self, command: str, expected: str) -> str | None:
        """Start a server and wait until it listens and has printed what is expected."""
        self.stop()
        printed, _ = self.type(f"{command} >{self.log} 2>&1 & echo $!")
        self.server = int(printed)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if listens(self.port) and self.has_logged(expected):
                return None
            time.sleep(0.02)
        return f"{command}\ndid not start as shown:\n{self.log.read_text()}"

    def has_logged(self, expected: str) -> bool:
        """Tell whether the server has printed these lines, perhaps among others."""
        return not expected or matches(f"...{expected}...", self.neutral(self.log.read_text(encoding="utf-8")))

    def check_log(self, expected: str) -> None:
        """Wait until the server has printed these lines."""
        until = time.monotonic() + PATIENCE
        while not self.has_logged(expected):
            assert time.monotonic() < until, f"the server has printed\n{self.log.read_text(encoding='utf-8')}"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server that runs, as Ctrl-C does."""
        if self.server is not None:
            os.kill(self.server, signal.SIGTERM)
            until = time.monotonic() + PATIENCE
            with suppress(ProcessLookupError):
                while time.monotonic() < until:
                    os.kill(self.server, 0)
                    time.sleep(0.01)
            self.server = None

    def local(self, text: str) -> str:
        """Put in what differs on this machine: the port, where the checkout is, and where data are kept."""
        text = text.replace("/path/to/checkout", str(ROOT)).replace("/var/lib/receiver", str(self.folder))
        text = re.sub(r"(--inspect)$", r"\1 8001", text, flags=re.MULTILINE)  # the default, which may be taken here
        return re.sub(r"\b8001\b", str(self.inspector_port), re.sub(r"\b8000\b", str(self.port), text))

    def neutral(self, text: str) -> str:
        """Take out what differs on this machine."""
        text = re.sub(rf"\b{self.inspector_port}\b", "8001", text)
        return re.sub(rf"\b{self.port}\b", "8000", text).replace(str(ROOT), "/path/to/checkout")

    def redis_url(self, port: int | None = None) -> str:
        """Start a Redis server for the page; its URL."""
        if shutil.which("redis-server") is None:
            sys.stderr.write("there is no redis-server on this machine")
            sys.exit(CANNOT)
        port = port or free_port()
        command = ("redis-server", "--port", str(port), "--save", "", "--dir", str(self.folder))
        self.shells.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        until = time.monotonic() + PATIENCE
        while not listens(port):
            assert time.monotonic() < until, "redis-server does not start"
            time.sleep(0.02)
        return f"redis://127.0.0.1:{port}"

    def postgresql(self):
        """Start a PostgreSQL server for the page, as the tests of the stores do."""
        sys.path.append(str(ROOT / "tests" / "idempotency"))
        import pytest  # noqa: PLC0415 - few pages need these two
        from database_servers import PostgreSQLServer  # noqa: PLC0415

        try:
            self.databases.append(PostgreSQLServer())
        except pytest.skip.Exception as reason:
            sys.stderr.write(str(reason))
            sys.exit(CANNOT)
        return self.databases[-1]

    def close(self) -> None:
        """End every process of the page."""
        self.stop()
        for server in self.databases:
            server.remove()
        for shell in self.shells:
            with shell:
                shell.kill()

    def end(self) -> None:
        """Stop everything, and look for what no block has run."""
        self.stop()
        assert not self.unchecked, f"nothing has checked what is shown:\n{self.unchecked}"
        for step in STEPS:
            assert self.steps.count(step) == 1, f"{self.steps.count(step)} blocks, not one: {step}"
        loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        for file in self.files:
            compiled = any((file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"))
            called = any(command.startswith(f"python {file.relative_to(self.folder)}") for command in self.commands)
            assert str(file) in loaded or compiled or called, f"no block has run {file.name}"


def parse(document: Document):
    """Find all blocks of a page."""
    for region in FencedCodeBlockLexer(r"[^\n{]*")(document):
        yield Region(
            region.start, region.end, (region.lexemes["language"].strip(), None, region.lexemes["source"]), run
        )
    for region in DirectiveLexer(r"[\w-]+")(document):
        kind = region.lexemes["directive"]
        if kind == "code-block":
            kind = region.lexemes["arguments"]
        yield Region(
            region.start, region.end, (kind, region.lexemes["options"].get("caption"), region.lexemes["source"]), run
        )


def run(example) -> str | None:
    """Run a block on the page that is in the namespace."""
    return example.namespace["page"].evaluate(example)


def run_python(example, source) -> None:
    """Run Python in the page's namespace, with the page's line numbers."""
    example.parsed = Lexeme(dedent(source), source.offset, source.line_offset)
    PythonEvaluator()(example)


def commands_of(source: str) -> list[tuple[str, str]]:
    """Split a console block into commands, each with what it is to print."""
    found: list[tuple[str, list[str]]] = []
    for line in source.splitlines():
        if found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return [(command, "\n".join(lines).strip()) for command, lines in found]


def matches(expected: str, printed: str) -> bool:
    """Compare text in which `...` stands for anything; nothing expected stands for anything, too."""
    pattern = ".*".join(re.escape(part.strip()) for part in re.split(r"\.\.\.", expected))
    pattern = re.sub(r"(?:\\[ \n]|\n| )+", r"\\s+", pattern)
    return not expected or re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def require_installed(command: str) -> None:
    """Check that all that a `pip install` names is there, extras too."""
    for word in command.removeprefix("pip install").split():
        name = word.strip("'\"").replace("/path/to/checkout", "mg-middleware")
        if not name.startswith("-"):
            requirement = Requirement(name)
            known = set(distribution(requirement.name).metadata.get_all("Provides-Extra") or ())
            assert requirement.extras <= known, f"{requirement.name} has no extra {requirement.extras - known}"


def parse_nginx(source: str) -> str | None:
    """Check the names, the places and the arguments of all directives."""
    file = Path(".nginx.conf")
    file.write_text(f"events {{}}\nhttp {{\n{source}\n}}\n", encoding="utf-8")
    return "\n".join(error["error"] for error in crossplane.parse(str(file), strict=True)["errors"]) or None


def main() -> None:
    """Run the page that the command line names."""
    path = Path(sys.argv[1]).resolve()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        page = Page(path, folder, literally="--literally" in sys.argv)
        stack.callback(page.close)
        document = Document.parse(str(path), parse)
        document.namespace["page"] = page
        steps = STEPS_OF_PAGES / path.relative_to(DOCS).with_suffix(".py") if path.is_relative_to(DOCS) else None
        if steps is not None and steps.exists():
            runpy.run_path(str(steps))
        for example in document.examples():
            example.evaluate()
        page.end()
        sys.stdout.write(f"\n{page.ran} blocks\n")


if __name__ == "__main__":
    main()
