"""The errors that the package raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mg_middleware.verdict import Outcome

__all__ = ["ConfigurationError", "VerificationError"]


class ConfigurationError(ValueError):
    """The configuration is wrong: a secret is missing or empty, or an option is out of its range.

    Not for bad requests: these get a response. An argument of the wrong type raises `TypeError`. The message names the
    option, never the secret.
    """


class VerificationError(ValueError):
    """A delivery is not genuine; `Webhook.verify` raises it.

    Its text holds neither the secret, nor the signature, nor the body.

    Args:
        outcome: the reason.

    Attributes:
        outcome: the reason: `missing_signature`, `repeated_signature`, `malformed_signature` or `signature_mismatch`.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome: Outcome = outcome

    def __str__(self) -> str:
        return f"the delivery is not genuine: {self.outcome.value}"
