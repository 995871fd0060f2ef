"""The secret of the setting `MEETGEEK_WEBHOOK_SECRET`, else of the environment, read when a request comes."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from mg_middleware._keys import (
    SECRET_FILE_VARIABLE,
    SECRET_VARIABLE,
    KeyHolder,
    keys_from,
    secret_from_environment,
)
from mg_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mg_middleware._keys import Key

SETTING = "MEETGEEK_WEBHOOK_SECRET"

_remembered_keys = lru_cache(maxsize=8, typed=True)(keys_from)


def prepared_keys(secret: Any) -> tuple[Key, ...]:
    """Prepare the keys for a secret that is found at each request."""
    try:
        # Preparing a key takes longer than verifying a short body. What is not one secret may have changed inside.
        if isinstance(secret, str | bytes):
            return _remembered_keys(secret)
        return keys_from(secret)
    finally:
        del secret  # error reporters store the local variables of each frame


def keys_from_setting() -> tuple[Key, ...] | Callable[[Any], Any]:
    """Prepare the keys of the setting, else of the environment; or return the callable that the setting is.

    Raises:
        ConfigurationError: no secret is configured, or one is empty or blank.
        TypeError: the setting has another type.
    """
    secret: Any = getattr(settings, SETTING, None)
    source = f"the setting {SETTING}: "
    try:
        if callable(secret) and not isinstance(secret, type | KeyHolder):
            secret_of: Callable[[Any], Any] = secret
            return secret_of
        if secret is None:
            if SECRET_VARIABLE not in os.environ and SECRET_FILE_VARIABLE not in os.environ:
                source = ""
                raise ConfigurationError("no secret is configured")
            source = "the environment: "
            secret = secret_from_environment()
        return prepared_keys(secret)
    except (ConfigurationError, TypeError) as error:
        message = (
            f"{source}{error}. Set {SETTING} in your settings, or {SECRET_VARIABLE} or {SECRET_FILE_VARIABLE} in the "
            "environment, or give meetgeek_webhook(secret=...)"
        )
        failure = type(error)
    finally:
        del secret  # error reporters store the local variables of each frame
    raise failure(message)
