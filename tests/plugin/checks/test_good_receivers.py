"""Right receivers of every framework pass the whole suite, strictly, through the plugin."""

import pytest
from plugin_frameworks import FRAMEWORKS, PATH

from pytest_meetgeek import CHECKS

pytestmark = pytest.mark.slow

CONFTEST = """
    import plugin_frameworks
    import pytest

    @pytest.fixture(scope="session")
    def meetgeek_app():
        return plugin_frameworks.{name}()
"""


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_right_receiver_passes_strictly(name, pytester):
    pytester.makeconftest(CONFTEST.format(name=name))
    pytester.makepyfile("def test_receiver(meetgeek_check): meetgeek_check()")
    # In a process of its own: Django is configured once in each.
    result = pytester.runpytest_subprocess(
        "--meetgeek-strict",
        f"--meetgeek-path={PATH}",
        "--meetgeek-handler=plugin_frameworks:process",
        "-pno:cacheprovider",
        "-Werror",
    )
    wsgi = name in {"plain_wsgi", "flask", "django_wsgi", "falcon_wsgi"}
    passed = 74 if wsgi else 75
    result.assert_outcomes(passed=passed, skipped=len(CHECKS) - passed)
