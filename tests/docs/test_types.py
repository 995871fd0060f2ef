"""What the pages show type-checks, as strictly as the packages themselves."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

pytestmark = pytest.mark.types

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
UNTYPED = {
    "bottle",
    "celery",
    "django",
    "flask_limiter",
    "flask_talisman",
    "functions_framework",
    "huey",
    "mangum",
    "prometheus_client",
    "pyramid",
    "redis",  # its Sentinel has none
    "rest_framework",
    "rq",
}
# Tests are written without annotations, and some packages have none: there, no more is asked than what can be known.
LENIENT = (
    '# mypy: disable-error-code="import-untyped,no-untyped-def,no-untyped-call,untyped-decorator,misc,var-annotated"\n'
    "# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false, "
    "reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false, "
    "reportArgumentType=false, reportFunctionMemberAccess=false, reportUntypedFunctionDecorator=false, "
    "reportCallIssue=false, reportUnknownLambdaType=false, reportMissingTypeArgument=false\n"
)


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows; the blocks that are no files make one of the page's own name, in their order."""
    files: dict[str, str] = {}
    rest = re.sub(r"\W", "_", page.relative_to(DOCS).as_posix().removesuffix(".md")) + "_examples.py"
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.info.split()[-1:] == ["python"]:
            caption = re.match(r":caption: (\S+)\n+", token.content)
            name = caption[1] if caption else rest
            source = token.content.removeprefix(caption[0]) if caption else token.content
            files[name] = files.get(name, "") + source + "\n"
    return files


def lenient_among(files: dict[str, str]) -> set[str]:
    """The files that are tests, or import a package without types, or a file that does."""
    untyped = set(UNTYPED)
    lenient: set[str] = set()
    for _ in files:
        for name, source in files.items():
            imported = set(re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE))
            if name.startswith(("test_", "conftest")) or not imported.isdisjoint(untyped):
                lenient.add(name)
                untyped.add(Path(name).stem)
    return lenient


PAGES = {page.relative_to(DOCS).as_posix(): files for page in sorted(DOCS.rglob("*.md")) if (files := files_of(page))}


def without_a_name_in_common(pages: dict[str, dict[str, str]]) -> list[list[str]]:
    """The pages in lists that mypy can check in one run each: no two of a list have a module of the same name."""
    lists: list[dict[str, set[str]]] = []
    for page, files in pages.items():
        modules = {Path(name).parts[0].removesuffix(".py") for name in files}
        fitting = (listed for listed in lists if modules.isdisjoint(set().union(*listed.values())))
        listed = next(fitting, None)
        if listed is None:
            lists.append(listed := {})
        listed[page] = modules
    return [list(listed) for listed in lists]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for each page, with its files in it."""
    folder = tmp_path_factory.mktemp("pages")
    for page, files in PAGES.items():
        lenient = lenient_among(files)
        for name, source in files.items():
            file = folder / page.removesuffix(".md") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text((LENIENT if name in lenient else "") + source, encoding="utf-8")
    return folder


@pytest.mark.parametrize("pages", without_a_name_in_common(PAGES), ids=lambda pages: f"{pages[0]} and {len(pages) - 1}")
def test_what_the_pages_show_passes_mypy_strict(pages, folder):
    roots = [(folder / page).with_suffix("") for page in pages]
    files = [root / name for page, root in zip(pages, roots, strict=True) for name in PAGES[page]]
    # Flask's own way to wrap an application is to assign to a method.
    options = ("--strict", "--config-file=", "--explicit-package-bases", "--disable-error-code=method-assign")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *options, f"--cache-dir={folder}/.cache", *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, roots))},
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_the_pages_show_passes_pyright_strict(folder):
    roots = sorted({(folder / page).with_suffix("") for page in PAGES})
    configuration = {
        "typeCheckingMode": "strict",
        "reportMissingModuleSource": "none",
        "reportUnusedFunction": "none",  # handlers are used by the decorator above them
        "executionEnvironments": [{"root": str(root)} for root in roots],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(configuration))
    command = [sys.executable, "-m", "pyright", "--project", folder, "--pythonpath", sys.executable]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout.replace(f"{folder}/", "") + result.stderr
