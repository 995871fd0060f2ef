"""The guard as a decorator of Django views.

Add `"mg_middleware.django"` to `INSTALLED_APPS` for a system check of the secret, if the secret comes from the setting
`MEETGEEK_WEBHOOK_SECRET` or from the environment.
"""

from __future__ import annotations

from mg_middleware.django._decorator import meetgeek_webhook

__all__ = ["meetgeek_webhook"]
