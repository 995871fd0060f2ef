"""Says what the built documentation lacks, and ends with 1 if it lacks anything.

    python tools/check_site.py site

`nox -s docs` runs it after it has built the site, where every link that leads nowhere within the site is an error.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from sphinx.util.inventory import InventoryFile

PACKAGES = (
    "mg_middleware",
    "mg_middleware.django",
    "mg_middleware.fastapi",
    "mg_middleware.idempotency",
    "mg_middleware.testing",
    "pytest_meetgeek",
    "pytest_meetgeek.strategies",
)
# The search looks up numbers in the index alone, and words in titles and text, by their stems.
SEARCHED_NUMBERS = {"401", "409", "429"}
SEARCHED_WORDS = {"prometheus", "ngrok", "django", "client"}


def missing_from(site: Path) -> set[str]:
    """Return the public names that have no entry in the site, and the words that its search does not find.

    Args:
        site: the folder that Sphinx has built.
    """
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda _, name: name)
    described = {name for names in inventory.values() for name in names}
    public = {f"{package}.{name}" for package in PACKAGES for name in import_module(package).__all__}
    index = json.loads((site / "searchindex.js").read_text(encoding="utf-8").partition("(")[2].rstrip(");"))
    found = {*index["indexentries"], *index["terms"], *index["titleterms"]}
    return (public - described) | ((SEARCHED_NUMBERS | SEARCHED_WORDS) - found)


if __name__ == "__main__":
    missing = missing_from(Path(sys.argv[1]))
    if missing:
        print(f"The site lacks: {', '.join(sorted(missing))}")
    sys.exit(bool(missing))
