"""One request to a live receiver."""

import socket
import time

from plugin_drivers import REQUEST

from pytest_meetgeek import Receiver
from pytest_meetgeek.response import NoResponseError


def test_a_receiver_that_never_responds_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        began = time.monotonic()
        response = Receiver(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=0.1).send(REQUEST)
    assert time.monotonic() - began < 20
    assert (response.status, isinstance(response.error, NoResponseError)) == (0, True)
    assert response.describe() == "no response within 0.1 s"


def test_a_receiver_that_hangs_up_gives_no_response():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()[1]
    response = Receiver(f"http://127.0.0.1:{address}/", timeout=20).send(REQUEST)
    assert (response.status, isinstance(response.error, ConnectionRefusedError)) == (0, True)
