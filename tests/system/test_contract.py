"""What the OpenAPI schema says holds: whatever is asked, the answer has a status and a type that stand there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from numpy.typing import NDArray
from schemathesis import Case
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import KEY
from tests.system.serving import Service, running

pytestmark = pytest.mark.system

EXAMPLES = 8  # of each operation and mode
ENDLESS = {"/v1/events"}  # a stream as long as its reader stays: tests/service/api/test_feed.py
CHECKS = [status_code_conformance, content_type_conformance]
# what fits the schema, and, where an operation takes anything at all, what does not
ASKED = [
    (f"{method.upper()} {path}", mode)
    for path, found in create_app(Settings(api_key=KEY, queue=False)).openapi()["paths"].items()
    if path not in ENDLESS
    for method, operation in found.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or operation.keys() & {"parameters", "requestBody"}
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, models: Path, pattern: NDArray[np.uint32]) -> Iterator[Service]:
    """A service without a worker, so that nothing is refined while others are asked."""
    folder = tmp_path_factory.mktemp("contract")
    (folder / "data").mkdir()
    np.save(folder / "data" / "scan.npy", pattern)
    with running(folder / "state", models, "--data-root", str(folder / "data"), INPHASE_WORKERS="0") as service:
        yield service


@pytest.fixture(scope="module")
def schema(service: Service) -> BaseSchema:
    """As the service tells it."""
    return schemathesis.openapi.from_dict(service.http.get("/openapi.json").json())


@pytest.mark.parametrize(("operation", "mode"), ASKED)
def test_every_answer_is_documented(schema: BaseSchema, service: Service, operation: str, mode: GenerationMode) -> None:
    """No 5xx but a 503, no status and no media type that the schema does not name."""
    method, _, path = operation.partition(" ")

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        answer = case.call(base_url=service.url, headers={"Authorization": f"Apikey {KEY}"}, timeout=30)
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        case.validate_response(answer, checks=CHECKS)

    ask()
    assert service.process.poll() is None
