"""Says which words the search of the built documentation does not find, and ends with 1 if there are any.

    python tools/check_site.py site

`nox -s docs` runs it after it has built the site, where every link that leads nowhere within the site is an error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# The search looks up numbers in the index alone, and words in titles and text, by their stems.
SEARCHED = {"401", "409", "429", "prometheus", "ngrok", "django", "client"}


def missing_from(site: Path) -> set[str]:
    """Return the words that the search of a site does not find.

    Args:
        site: the folder that Sphinx has built.
    """
    index = json.loads((site / "searchindex.js").read_text(encoding="utf-8").partition("(")[2].rstrip(");"))
    return SEARCHED - {*index["indexentries"], *index["terms"], *index["titleterms"]}


if __name__ == "__main__":
    missing = missing_from(Path(sys.argv[1]))
    if missing:
        print(f"The search does not find: {', '.join(sorted(missing))}")
    sys.exit(bool(missing))
