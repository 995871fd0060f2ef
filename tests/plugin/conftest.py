"""Makes the receivers of this folder importable, and pytest's own test harness available."""

import sys
from pathlib import Path

pytest_plugins = ["pytester"]

sys.path.insert(0, str(Path(__file__).parent))
