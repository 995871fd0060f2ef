"""How a request gets to a receiver: in this process by ASGI or WSGI, or over HTTP. PYTEST_DONT_REWRITE."""
