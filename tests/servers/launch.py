"""Start the servers that have no command of their own: `python -m servers.launch NAME PORT`."""

from __future__ import annotations

import sys

from servers.application import wsgi_application
from servers.wire import HOST


def _bjoern(port):
    import bjoern  # noqa: PLC0415 - only the server that is asked for need be installed

    bjoern.run(wsgi_application, HOST, port)


def _gevent(port):
    from gevent.pywsgi import WSGIServer  # noqa: PLC0415 - see above

    WSGIServer((HOST, port), wsgi_application).serve_forever()


def _werkzeug(port):
    from werkzeug.serving import run_simple  # noqa: PLC0415 - see above

    run_simple(HOST, port, wsgi_application, threaded=True)


def _wsgiref(port):
    from wsgiref.simple_server import WSGIServer, make_server  # noqa: PLC0415 - see above

    class PatientServer(WSGIServer):
        request_queue_size = 256  # the default of 5 makes most of 200 clients wait for TCP to try again

    make_server(HOST, port, wsgi_application, server_class=PatientServer).serve_forever()


if __name__ == "__main__":
    {"bjoern": _bjoern, "gevent": _gevent, "werkzeug": _werkzeug, "wsgiref": _wsgiref}[sys.argv[1]](int(sys.argv[2]))
