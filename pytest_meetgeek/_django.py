"""What there is to know about the Django project in this process, without importing Django."""

from __future__ import annotations

import sys
from typing import Any


def django_settings() -> Any:
    """Return the settings of the Django project that is set up in this process; None if there is none."""
    configuration: Any = sys.modules.get("django.conf")
    return configuration.settings if configuration is not None and configuration.settings.configured else None


def database_names() -> list[str]:
    """Return the names of the project's databases; those of the test databases, once they are made."""
    settings = django_settings()
    databases: dict[str, dict[str, Any]] = {} if settings is None else settings.DATABASES
    return [str(database["NAME"]) for database in databases.values() if database.get("NAME")]


def has_test_database() -> bool:
    """Tell whether this process has a database for tests, which no other process has."""
    # Django's setup_test_environment() makes this mailbox, for `manage.py test` and for pytest-django.
    mailbox = getattr(sys.modules.get("django.core.mail"), "outbox", None)
    return mailbox is not None and bool(database_names())
