import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from steps import after, check, deliver, sign


@after(file="receiver.py")
def the_script_for_apache_reads_the_file(page):
    Path("meetgeek-secret").write_text("a secret in a file\n")
    kept = os.environ.pop("MEETGEEK_WEBHOOK_SECRET")
    from receiver_wsgi import application

    with redirect_stdout(StringIO()):
        assert deliver(application, signature=sign(b"{}", "a secret in a file")).status_code == 200
    assert deliver(application, signature=sign(b"{}", kept)).status_code == 401
    del os.environ["MEETGEEK_WEBHOOK_SECRET_FILE"]
    os.environ["MEETGEEK_WEBHOOK_SECRET"] = kept


@after(file="on_asgi.py")
def the_adapter_serves_the_guarded_application(page):
    check("on_asgi:app", failures=False)
