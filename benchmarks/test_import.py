"""What importing the ASGI class costs."""

import subprocess
import sys
from pathlib import Path

from measuring import Row

import mg_middleware

# Without site-packages, so that nothing is there already; the packages are found beside this one.
IMPORT = """
import sys
sys.path.append({path!r})
from time import process_time
began = process_time()
{statement}
print(process_time() - began)
"""


def test_import(benchmark):
    path = str(Path(mg_middleware.__file__).parent.parent)

    def seconds(statement):
        script = IMPORT.format(path=path, statement=statement)
        ended = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
        return float(ended.stdout)

    def fastest():
        pairs = [
            (
                seconds("from mg_middleware import MeetGeekASGIMiddleware"),
                seconds("import hmac, hashlib, json, logging"),
            )
            for _ in range(40)
        ]
        return min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs)

    row = Row("Import", "the ASGI class", "hmac, hashlib, json and logging", 1.6)
    row.record(benchmark, [benchmark.pedantic(fastest)])
