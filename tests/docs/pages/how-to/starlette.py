from steps import after, check, deliver


@after(file="app.py")
def genuine_deliveries_are_processed_and_forgeries_refused(page):
    check("app:app")


@after(file="ordered.py")
def a_preflight_request_is_not_refused(page):
    check("ordered:app")
    preflight = {"origin": "https://example.com", "access-control-request-method": "POST"}
    assert deliver("ordered:app", method="OPTIONS", signature="", headers=preflight).status_code == 200


@after(file="mounted.py")
def the_mounted_application_is_guarded(page):
    check("mounted:app")
