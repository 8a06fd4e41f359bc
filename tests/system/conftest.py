"""What the tests of real processes share."""

from pathlib import Path

import pytest

from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError


@pytest.fixture(scope="session")
def models(models_dir: Path) -> Path:
    """The toy repository, as `inphase serve` is told of it."""
    return models_dir


@pytest.fixture(scope="session", autouse=True)
def redis_there() -> None:
    """Without a Redis binary there is nothing to test."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
