"""The addresses that the server takes, and what it leaves as it is."""

import gc
import threading

from service.app import create_app
from service.door.server import Server, bind, close
from service.settings import Settings


def test_every_address_of_a_host_is_taken() -> None:
    """As uvicorn does it: of localhost those that the machine has; the port is free again afterwards."""
    for _ in range(2):
        found = bind("localhost", 0)
        assert {address.getsockname()[0] for address in found} <= {"127.0.0.1", "::1"}
        assert found
        close(found)


def test_what_the_start_has_made_is_not_looked_through_for_garbage(settings: Settings) -> None:
    """The networks, the routes and all modules: a search through them would hold up every request."""
    frozen = list[int]()

    def ready(_: str) -> None:
        frozen.append(gc.get_freeze_count())
        server.should_exit = True

    server = Server(create_app(settings), settings, ready)
    sockets = bind("127.0.0.1", 0)
    running = threading.Thread(target=server.run, args=(sockets,))
    running.start()
    running.join(60)
    close(sockets)
    gc.unfreeze()
    assert not running.is_alive()
    assert frozen[0] > 10_000
