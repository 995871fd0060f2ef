"""Middleware that lets only genuine MeetGeek webhooks reach an ASGI or WSGI application.

The names below are public. Each is imported when you first use it (PEP 562), so that importing the ASGI class loads
nothing else. pytest rewrites the assertions in every package of a distribution that has a plugin. The word
PYTEST_DONT_REWRITE exempts this one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mg_middleware.asgi import MeetGeekASGIMiddleware
    from mg_middleware.delivery import Delivery, delivery_of
    from mg_middleware.errors import ConfigurationError, VerificationError
    from mg_middleware.events import AnalysisFailed, AnalysisSucceeded, UnknownEvent
    from mg_middleware.explanation import Explanation, explain_mismatch
    from mg_middleware.idempotency.stores.memory import MemoryStore
    from mg_middleware.idempotency.stores.redis import RedisStore
    from mg_middleware.idempotency.stores.sqlalchemy import SQLAlchemyStore
    from mg_middleware.idempotency.stores.sqlite import SQLiteStore
    from mg_middleware.verdict import Outcome, Verdict
    from mg_middleware.webhook import Webhook, sign, verify
    from mg_middleware.wsgi import MeetGeekWSGIMiddleware

__version__: str
__all__ = [
    "AnalysisFailed",
    "AnalysisSucceeded",
    "ConfigurationError",
    "Delivery",
    "Explanation",
    "MeetGeekASGIMiddleware",
    "MeetGeekWSGIMiddleware",
    "MemoryStore",
    "Outcome",
    "RedisStore",
    "SQLAlchemyStore",
    "SQLiteStore",
    "UnknownEvent",
    "Verdict",
    "VerificationError",
    "Webhook",
    "delivery_of",
    "explain_mismatch",
    "sign",
    "verify",
]

_MODULES = {
    "AnalysisFailed": "events",
    "AnalysisSucceeded": "events",
    "ConfigurationError": "errors",
    "Delivery": "delivery",
    "Explanation": "explanation",
    "MeetGeekASGIMiddleware": "asgi",
    "MeetGeekWSGIMiddleware": "wsgi",
    "MemoryStore": "idempotency.stores.memory",
    "Outcome": "verdict",
    "RedisStore": "idempotency.stores.redis",
    "SQLAlchemyStore": "idempotency.stores.sqlalchemy",
    "SQLiteStore": "idempotency.stores.sqlite",
    "UnknownEvent": "events",
    "Verdict": "verdict",
    "VerificationError": "errors",
    "Webhook": "webhook",
    "delivery_of": "delivery",
    "explain_mismatch": "explanation",
    "sign": "webhook",
    "verify": "webhook",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # it would be most of the import

        return version("mg-middleware")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
