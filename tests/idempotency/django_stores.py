"""Check a store of docs/how-to/write-a-store.md in a Django project of its own: settings belong to a whole process.

python django_stores.py TASK, where TASK is JSON: `folder` (of the app `meetings`), `store` (module and class),
`options` of the store, `databases`, `caches`, and `shared` (whether each store made is a new one).
"""

import importlib
import json
import sys

import django
from django.conf import settings

from mg_middleware.testing import check_store


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


if __name__ == "__main__":
    main()
