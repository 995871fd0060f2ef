"""What is required of a receiver: the checks of the conformance suite. PYTEST_DONT_REWRITE."""
