"""The Django application, which adds one system check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from mg_middleware.django._secret import SETTING, keys_from_setting
from mg_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MeetGeekConfig"]


class MeetGeekConfig(AppConfig):
    """Checks the secret at `manage.py check`, `runserver`, `test` and wherever else Django runs its system checks.

    Not for a project that gives every `meetgeek_webhook` its `secret=`: the check looks at the setting and at the
    environment.

    Source: Django's documentation of applications and of the system check framework.
    """

    name = "mg_middleware.django"
    label = "mg_middleware"

    def ready(self) -> None:
        """Register the check."""
        register(check_secret)


def check_secret(app_configs: Sequence[AppConfig] | None, **_options: object) -> list[CheckMessage]:
    """Report a secret that is missing, blank or of a wrong type.

    Args:
        app_configs: the applications to check; `None` means all.
    """
    if app_configs is not None and not any(isinstance(config, MeetGeekConfig) for config in app_configs):
        return []
    try:
        keys_from_setting()
    except (ConfigurationError, TypeError) as error:
        hint = (
            f"Set {SETTING} in your settings or in the environment to the secret that MeetGeek signs with. If every "
            'view has its own meetgeek_webhook(secret=...), remove "mg_middleware.django" from INSTALLED_APPS.'
        )
        return [Error(f"MeetGeek webhooks can't be verified: {error}", hint=hint, id="mg_middleware.E001")]
    return []
