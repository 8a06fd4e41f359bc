"""Jobs that have ended are deleted when somebody asks."""

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.service.api.calls import URL, check
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import by, client, keyed, predicted, services, submit

__all__ = ["client", "keyed"]  # fixtures


async def test_a_job_goes_with_its_arrays(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Afterwards it is a job that does not exist, also in the list; another of the same measurement stays."""
    job_id, other = await predicted(client, pattern), await predicted(client, pattern[::-1])
    answer = await client.delete(f"/v1/jobs/{job_id}/record")
    assert (answer.status_code, answer.content) == (204, b"")
    check(await client.get(f"/v1/jobs/{job_id}"), 404, job_id)
    check(await client.delete(f"/v1/jobs/{job_id}/record"), 404, job_id)
    assert [job["id"] for job in (await client.get("/v1/jobs")).json()["jobs"]] == [other]
    assert services(client).store.names(job_id) == []
    assert (await client.get(f"/v1/jobs/{other}/result")).status_code == 200


async def test_what_has_not_ended_is_cancelled_first(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The job stays as it is; once it is cancelled it can be deleted."""
    job_id = (await submit(client, pattern, refine="5*ER")).json()["id"]
    check(await client.delete(f"/v1/jobs/{job_id}/record"), 409, "queued", "cancel it first")
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["state"] == "queued"
    assert (await client.delete(f"/v1/jobs/{job_id}")).json()["state"] == "cancelled"
    assert (await client.delete(f"/v1/jobs/{job_id}/record")).status_code == 204


async def test_the_jobs_of_others_stay(keyed: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """They do not exist for others; a key that may only read deletes nothing."""
    sent = {"content": npy(pattern), "params": {"refine": "none", "wait": 10}}
    job_id = (await keyed.post(URL, headers=NPY | by("ada"), **sent)).json()["id"]
    check(await keyed.delete(f"/v1/jobs/{job_id}/record", headers=by("bob")), 404, job_id)
    check(await keyed.delete(f"/v1/jobs/{job_id}/record", headers=by("wall")), 403)
    assert (await keyed.delete(f"/v1/jobs/{job_id}/record", headers=by("ada"))).status_code == 204
