"""Our own middleware, round each framework, passes the whole suite strictly."""

import re
import sys
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from plugin_findings import findings
from plugin_frameworks import run_alone
from plugin_receivers import SECRET

from mg_middleware import (
    AnalysisSucceeded,
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    delivery_of,
)

APPLICATIONS = Path(__file__).parents[2] / "frameworks" / "applications"
PATH = "/webhooks/meetgeek"
GUARDS = {"asgi": MeetGeekASGIMiddleware, "wsgi": MeetGeekWSGIMiddleware}


def builders():
    for path in sorted(APPLICATIONS.glob("with_*.py")):
        for interface in GUARDS:
            # Those that have to be told which variant to build are variations of these; tests/frameworks drives them.
            signature = rf"def build_{interface}\(record, pieces, other_routes(, \w+=[^)]*)?\):"
            if re.search(signature, path.read_text(encoding="utf-8")):
                name = path.stem.removeprefix("with_")
                # WebOb and Bottle keep a large body in a temporary file, and leave it to the garbage collector.
                ignored = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
                yield pytest.param(name, interface, marks=[ignored] if name in {"bottle", "pyramid"} else [])


def load(path):
    # Under the name by which the tests of the frameworks know it, where annotations are looked up.
    if path.stem not in sys.modules:
        spec = spec_from_file_location(path.stem, path)
        sys.modules[path.stem] = module_from_spec(spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what frameworks do when they are imported is theirs
            spec.loader.exec_module(sys.modules[path.stem])
    return sys.modules[path.stem]


class Application:
    """A guarded application; the suite sets its handler."""

    def handler(self, meeting_id):
        """Process a meeting."""

    def record(self, request, body):
        event = delivery_of(request).event
        if isinstance(event, AnalysisSucceeded):
            self.handler(event.meeting_id)


def check(name, interface):
    application = Application()
    app = getattr(load(APPLICATIONS / f"with_{name}.py"), f"build_{interface}")(application.record, list, ())
    guarded = GUARDS[interface](app, SECRET, acknowledge=True, idempotency_store=MemoryStore())
    found = findings(guarded, interface, application, path=PATH)
    assert {check_id: result.text for check_id, result in found.items() if result.outcome == "failed"} == {}
    skipped = {check_id for check_id, result in found.items() if result.outcome == "skipped"}
    only_asgi = set() if interface == "asgi" else {"raw.chunked"}
    assert skipped == {"hdr.case", "rep.lost-worker", "cfg.unset-secret", "cfg.padded-secret"} | only_asgi


@pytest.mark.parametrize(("name", "interface"), list(builders()))
def test_the_guard_passes_the_suite(name, interface):
    if name == "django":
        run_alone(f"import test_own_middleware; test_own_middleware.check({name!r}, {interface!r})")
    else:
        check(name, interface)
