"""The fake MeetGeek, and the pytest plugin that tests the receivers of its webhooks. PYTEST_DONT_REWRITE."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_meetgeek.checks.catalogue import CHECKS
    from pytest_meetgeek.checks.check import Check
    from pytest_meetgeek.checks.result import CheckResult
    from pytest_meetgeek.checks.run import run_checks
    from pytest_meetgeek.forgeries import FORGERIES, Forgery
    from pytest_meetgeek.meetgeek import DeliveryRecord, MeetGeek
    from pytest_meetgeek.receiver import Receiver
    from pytest_meetgeek.request import WebhookRequest
    from pytest_meetgeek.response import Response
    from pytest_meetgeek.spy import Spy

__all__ = [
    "CHECKS",
    "FORGERIES",
    "Check",
    "CheckResult",
    "DeliveryRecord",
    "Forgery",
    "MeetGeek",
    "Receiver",
    "Response",
    "Spy",
    "WebhookRequest",
    "run_checks",
]

# pytest imports this package in every run of everyone who installed it: nothing is loaded unasked (PEP 562).
_HOMES = {
    "CHECKS": "checks.catalogue",
    "FORGERIES": "forgeries",
    "Check": "checks.check",
    "CheckResult": "checks.result",
    "DeliveryRecord": "meetgeek",
    "MeetGeek": "meetgeek",
    "Receiver": "receiver",
    "Response": "response",
    "Spy": "spy",
    "Forgery": "forgeries",
    "WebhookRequest": "request",
    "run_checks": "checks.run",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
