"""The fake MeetGeek, and the pytest plugin that tests the receivers of its webhooks. PYTEST_DONT_REWRITE."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_meetgeek.checks.catalogue import CHECKS
    from pytest_meetgeek.checks.context import Check
    from pytest_meetgeek.forgeries import TAMPERINGS, Tampering
    from pytest_meetgeek.meetgeek import DeliveryRecord, MeetGeek
    from pytest_meetgeek.receiver import Receiver
    from pytest_meetgeek.request import WebhookRequest
    from pytest_meetgeek.response import Response
    from pytest_meetgeek.spy import Spy

__all__ = [
    "CHECKS",
    "TAMPERINGS",
    "Check",
    "DeliveryRecord",
    "MeetGeek",
    "Receiver",
    "Response",
    "Spy",
    "Tampering",
    "WebhookRequest",
]

# pytest imports this package in every run of everyone who installed it: nothing is loaded unasked (PEP 562).
_HOMES = {
    "CHECKS": "checks.catalogue",
    "TAMPERINGS": "forgeries",
    "Check": "checks.context",
    "DeliveryRecord": "meetgeek",
    "MeetGeek": "meetgeek",
    "Receiver": "receiver",
    "Response": "response",
    "Spy": "spy",
    "Tampering": "forgeries",
    "WebhookRequest": "request",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
