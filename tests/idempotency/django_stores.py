"""Check a store of docs/how-to/write-a-store.md in a Django project of its own: settings belong to a whole process.

python django_stores.py TASK, where TASK is JSON: `folder` (of the app `meetings`), `store` (module and class),
`options` of the store, `databases`, `caches`, and `shared` (whether each store made is a new one).
"""

import importlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

import django
import pymysql
from django.conf import settings

from mg_middleware.idempotency import AlreadyComplete, InProgress
from mg_middleware.testing import check_store

# Django's client for MySQL and MariaDB has to be compiled. This one stands in for it, under a version that it accepts.
pymysql.version_info = (2, 2, 8, "final", 0)
pymysql.install_as_MySQLdb()


def contend(make_store):
    """Deliver in eight threads until the key is complete: one claim lives at a time, whether it was released or not."""
    for _ in range(5):
        key = token_hex(32)
        holders, claims, completed = [], [], []

        def deliver(number, key=key, holders=holders, claims=claims, completed=completed):
            store = make_store()
            while not isinstance(claim := store.claim(key), AlreadyComplete):
                if isinstance(claim, InProgress):
                    time.sleep(0.01)
                    continue
                holders.append(number)
                claims.append(claim.token)
                time.sleep(0.01)
                assert holders == [number]
                holders.clear()
                if len(claims) < 6:
                    store.release(key, claim.token)
                else:
                    completed.append(number)
                    store.complete(key, claim.token)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(deliver, range(8)))
        assert len(set(claims)) == 6
        assert len(completed) == 1


def main():
    task = json.loads(sys.argv[1])
    sys.path.insert(0, task["folder"])
    settings.configure(
        INSTALLED_APPS=["meetings"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=True,
        **{name: {"default": task[name.lower()]} for name in ("DATABASES", "CACHES") if task.get(name.lower())},
    )
    django.setup()
    if task.get("databases"):
        from django.db import connection  # noqa: PLC0415 - needs the settings
        from meetings.models import Delivery  # noqa: PLC0415

        with connection.schema_editor() as editor:
            editor.create_model(Delivery)
        connection.close()
    module, _, name = task["store"].partition(":")
    store_class = getattr(importlib.import_module(module), name)
    if task.get("shared", True):
        check_store(lambda: store_class(**task["options"]))
    else:
        store = store_class(**task["options"])
        check_store(lambda: store)
    contend(lambda: store_class(**task["options"] | {"lease": 60}))


if __name__ == "__main__":
    main()
