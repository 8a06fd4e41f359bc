"""A service for the tests of the page, and what is asked of it."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.client import Client
from tests.service.conftest import KEY
from tests.system.serving import Service
from tests.toy import counts

LOADED = "image => image.complete && image.naturalWidth > 0"
BY_KEY = {"Authorization": f"Apikey {KEY}"}


@dataclass(frozen=True)
class House:
    """A service with a worker, a job that has succeeded with strain maps, one that has failed, and a live scan that is
    finished.
    """

    service: Service
    data: Path
    done: str
    failed: str
    scan: str

    def job(self, job_id: str) -> dict[str, Any]:
        """Its document."""
        document: dict[str, Any] = self.service.http.get(f"/v1/jobs/{job_id}").json()
        return document

    def document_of_scan(self, scan_id: str) -> dict[str, Any]:
        """The document of a live scan."""
        document: dict[str, Any] = self.service.http.get(f"/v1/scans/{scan_id}").json()
        return document

    def array(self, name: str) -> NDArray[Any]:
        """An array of the job that has succeeded, as anybody downloads it."""
        path = name if name == "calculated" else f"result/{name}"
        answer = self.service.http.get(f"/v1/jobs/{self.done}/{path}")
        found: NDArray[Any] = np.load(io.BytesIO(answer.raise_for_status().content))
        return found

    def submit(self, refine: str, seed: int) -> str:
        """A job of another measurement of the crystal."""
        with Client(self.service.url, KEY) as client:
            return str(client.reconstruct(counts(seed=seed), refine=refine, wait=0)["id"])


def measured() -> bytes:
    """The crystal's counts with a geometry: voxels of 5 nm, and the gold 111 reflection."""
    body = io.BytesIO()
    np.savez(body, data=counts(), q_steps=np.eye(3) * 2 * np.pi / (64 * 5e-9), q_centre=np.array([0.0, 0.0, 2.67e10]))
    return body.getvalue()
