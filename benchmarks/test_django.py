"""What the decorator costs on a Django view, beside the guard around the same view."""

import added_costs
import applications
import pytest
from measuring import Row, measure
from requests_to_send import GENUINE
from verifications import SECRET

from mg_middleware import MeetGeekWSGIMiddleware
from mg_middleware.cli.bench import Laboratory

pytestmark = added_costs.IN_PROCESS


@pytest.mark.parametrize(
    ("name", "path", "decorated"),
    [("a function", applications.PATH, "/plain"), ("a class-based view", "/class", "/decorated-class")],
)
def test_decorator(benchmark, name, path, decorated):
    app = applications.django_application()
    with Laboratory(app, "wsgi") as laboratory:
        measure(
            benchmark,
            Row("A Django request, decorated", name, "the guard around the same view", at_most=1.2),
            laboratory.batch(app, GENUINE, decorated, added_costs.COUNT),
            unit=laboratory.batch(MeetGeekWSGIMiddleware(app, SECRET), GENUINE, path, added_costs.COUNT),
        )
