"""The addresses that the server takes."""

from service.door.server import bind, close


def test_every_address_of_a_host_is_taken() -> None:
    """As uvicorn does it: of localhost those that the machine has; the port is free again afterwards."""
    for _ in range(2):
        found = bind("localhost", 0)
        assert {address.getsockname()[0] for address in found} <= {"127.0.0.1", "::1"}
        assert found
        close(found)
