from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from steps import after, before, deliver, sign


@before(file="app.py")
def write_the_secret(page):
    Path("meetgeek-secret.txt").write_text("an example, not a secret\n")


@after(file="app.py")
def the_secret_of_the_file_is_used(page):
    with redirect_stdout(StringIO()):
        assert deliver("app:app", signature=sign(b"{}", "an example, not a secret")).status_code == 200
    assert deliver("app:app").status_code == 401


@after(file="rotating.py")
def both_secrets_match(page):
    import os

    os.environ["NEW_SECRET"], os.environ["OLD_SECRET"] = "an example", "another example"
    from rotating import guarded

    def receiver(environ, start_response):
        start_response("200 OK", [("Content-Length", "0")])
        return []

    app = guarded(receiver)
    for secret, status in (("an example", 200), ("another example", 200), ("a third", 401)):
        assert deliver(app, signature=sign(b"{}", secret)).status_code == status
