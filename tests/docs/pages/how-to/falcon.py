from steps import after, check


@after(file="asgi_app.py")
def genuine_deliveries_are_processed_on_asgi(page):
    check("asgi_app:app")


@after(file="wsgi_app.py")
def genuine_deliveries_are_processed_on_wsgi(page):
    check("wsgi_app:app")
