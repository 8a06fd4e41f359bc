"""A real Redis for the tests of this folder: started once, emptied before every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.jobs.broker import Queue
from service.jobs.embedded import EmbeddedRedis, find_server
from service.jobs.errors import NoRedisError
from service.jobs.process import ComputeProcess
from service.jobs.record import Records
from service.jobs.scans import ScanRecords
from service.jobs.series import SeriesRecords
from service.jobs.settings import ComputeSettings
from tests.service.jobs.stand_in import started


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A running Redis; skips where none can be had."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    embedded = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
def redis_url(server: EmbeddedRedis) -> str:
    """URL of an empty Redis."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server.url


@pytest.fixture
def records(redis_url: str) -> Iterator[Records]:
    """Records on an empty Redis."""
    records = Records(redis_url)
    yield records
    records.close()


@pytest.fixture
def series(redis_url: str) -> Iterator[SeriesRecords]:
    """Series on an empty Redis."""
    series = SeriesRecords(redis_url)
    yield series
    series.close()


@pytest.fixture
def scans(redis_url: str) -> Iterator[ScanRecords]:
    """Live scans on an empty Redis."""
    scans = ScanRecords(redis_url)
    yield scans
    scans.close()


@pytest.fixture
def queue(redis_url: str, records: Records) -> Iterator[Queue]:
    """The queue of an empty Redis."""
    queue = Queue(redis_url, records)
    yield queue
    queue.close()


@pytest.fixture
def away(tmp_path: Path) -> str:
    """URL of a Redis that is not there."""
    return f"unix://{tmp_path}/nobody.sock"


@pytest.fixture
def settings(tmp_path: Path) -> ComputeSettings:
    """Bounded to a gibibyte, checkpoints at every step."""
    return ComputeSettings(tmp_path, "cpu", 1, 2**30, 0.0)


@pytest.fixture
def compute(settings: ComputeSettings) -> Iterator[ComputeProcess]:
    """A warm compute process."""
    made = started(settings)
    yield made
    made.close()
