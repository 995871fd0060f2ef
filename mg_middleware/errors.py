"""The error that says the middleware cannot be built as asked."""


class ConfigurationError(ValueError):
    """The middleware cannot be built as asked: a missing or empty secret, or an option out of its range.

    Not for what a request brings: a bad request is answered, never raised. A value of the wrong type is a
    `TypeError`. The message names the option, never the secret.
    """
