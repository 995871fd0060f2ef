from contextlib import redirect_stdout
from io import StringIO

from steps import after, deliver, sign


@after(file="mapped.py")
def the_name_of_the_secret_that_matched_is_known(page):
    for secret, name in (
        ("an example", "acme"),
        ("a second example", "globex"),
        ("a third one, while it rotates", "globex"),
    ):
        with redirect_stdout(StringIO()) as printed:
            assert deliver("mapped:app", signature=sign(b"{}", secret)).status_code == 200
        assert printed.getvalue() == f"a delivery for {name}\n"


@after(file="looked_up.py")
def each_tenant_has_a_secret(page):
    with redirect_stdout(StringIO()) as printed:
        for path, secret, status in (
            ("/webhooks/meetgeek/acme", "an example", 200),
            ("/webhooks/meetgeek/globex", "an example", 401),
            ("/webhooks/meetgeek/nobody", "an example", 401),
        ):
            assert deliver("looked_up:app", path=path, signature=sign(b"{}", secret)).status_code == status
    assert printed.getvalue() == "a delivery for acme\n"
