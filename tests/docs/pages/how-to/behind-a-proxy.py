from steps import after, deliver


@after(file="app.py")
def a_larger_body_is_refused(page):
    assert deliver("app:app", body=b" " * 16_384).status_code == 200
    assert deliver("app:app", body=b" " * 16_385).status_code == 413
