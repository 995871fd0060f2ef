"""What the pages show type-checks, as strictly as the packages themselves."""

import json
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
    """The files that a page shows, and under `examples.py` the blocks that are no files, in their order."""
    files: dict[str, str] = {}
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.info.split()[-1:] == ["python"]:
            caption = re.match(r":caption: (\S+)\n+", token.content)
            name = caption[1] if caption else "examples.py"
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


@pytest.mark.parametrize("page", PAGES)
def test_what_the_page_shows_passes_mypy_strict(page, folder, tmp_path_factory):
    # In a folder that all workers share, so that packages are read once.
    cache = tmp_path_factory.getbasetemp().parent / "mypy-cache"
    # Flask's own way to wrap an application is to assign to a method.
    options = ("--strict", "--config-file=", "--explicit-package-bases", "--disable-error-code=method-assign")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *options, f"--cache-dir={cache}", *PAGES[page]],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder / page.removesuffix(".md"),
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
