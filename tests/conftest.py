"""What all tests share."""

from hypothesis import settings

# How long one example takes says nothing on a busy machine; the timeout of the whole test stands in pyproject.toml.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
