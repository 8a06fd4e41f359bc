"""Two results compared and aligned by the service."""

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import inphase
from service.api import comparisons
from tests.service.api.calls import check
from tests.service.api.queued import by, client, keyed, services

__all__ = ["client", "keyed"]  # fixtures


@pytest.fixture
async def pair(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> list[str]:
    """A crystal of 5 nm voxels with its reflection, and an image of another network, a box, that it is like in part."""
    body = io.BytesIO()
    steps = np.eye(3) * 2 * np.pi / (64 * 5e-9)
    np.savez(body, data=pattern, q_steps=steps, q_centre=np.array([0.0, 0.0, 2.7e10]))
    made = []
    for model in ("inphase-bcdi", "blind"):
        answer = await client.post(
            f"/v1/reconstructions?refine=none&start=network&wait=20&model={model}",
            content=body.getvalue(),
            headers={"Content-Type": "application/x-npz"},
        )
        assert answer.status_code == 200, answer.text
        made.append(str(answer.json()["id"]))
    return made


async def fetched(client: httpx.AsyncClient, address: str) -> NDArray[Any]:
    """An array."""
    answer = await client.get(address)
    assert answer.status_code == 200, answer.text
    found: NDArray[Any] = np.load(io.BytesIO(answer.content))
    return found


async def test_the_figures_are_those_of_the_library(client: httpx.AsyncClient, pair: list[str], tmp_path: Path) -> None:
    """`inphase.compare` says the same of the two downloaded files."""
    for name, job_id in zip("ab", pair, strict=True):
        (tmp_path / f"{name}.npz").write_bytes((await client.get(f"/v1/jobs/{job_id}/result")).content)
    expected = inphase.compare(tmp_path / "a.npz", tmp_path / "b.npz").to_builtins()
    found = (await client.get(f"/v1/jobs/{pair[0]}/comparison/{pair[1]}")).json()
    assert 0.1 < found["correlation"] < 0.99
    for name, value in expected.items():
        if name not in ("a", "b"):
            assert found[name] == pytest.approx(value), name
    assert [found[side]["job"] for side in "ab"] == pair
    assert found["a"] | {"job": ""} == {"job": "", "revision": 1, "source": "body.npz"}
    assert found["voxel_size_m"] == pytest.approx([5e-9] * 3)


async def test_the_arrays_have_these_figures(client: httpx.AsyncClient, pair: list[str]) -> None:
    """Correlation, phase and strain difference come out of what is downloaded."""
    told = (await client.get(f"/v1/jobs/{pair[0]}/comparison/{pair[1]}")).json()
    arrays = {name: await fetched(client, address) for name, address in told["links"].items()}
    assert {name.rpartition("_")[0] for name in arrays} == {"amplitude", "phase", "strain"}
    assert {array.dtype.name for array in arrays.values()} == {"float32"}
    assert {array.shape for array in arrays.values()} == {tuple(told["shape"])}
    a, b = (
        np.where(np.isfinite(phase), amplitude * np.exp(1j * np.nan_to_num(phase)), 0)
        for amplitude, phase in ((arrays[f"amplitude_{side}"], arrays[f"phase_{side}"]) for side in "ab")
    )
    found = np.abs(np.vdot(a, b)) / np.linalg.norm(arrays["amplitude_a"]) / np.linalg.norm(arrays["amplitude_b"])
    assert found == pytest.approx(told["correlation"], abs=5e-3)  # beyond the supports no phase is told
    np.testing.assert_array_equal(arrays["amplitude_difference"], arrays["amplitude_b"] - arrays["amplitude_a"])
    turn = arrays["phase_difference"]
    known = np.isfinite(turn)
    np.testing.assert_allclose(np.exp(1j * turn[known]), np.exp(1j * np.angle(b * a.conj()))[known], atol=1e-4)
    for name in ("phase", "strain"):
        values = arrays[f"{name}_difference"]
        assert np.sqrt(np.nanmean(values.astype(float) ** 2)) == pytest.approx(
            told[f"{name}_difference"]["rms"], rel=1e-4
        )
    plane = await fetched(client, f"{told['links']['phase_a']}?slice=:,5,:")
    np.testing.assert_array_equal(plane, arrays["phase_a"][:, 5])
    for name in ("phase_a", "strain_b", "amplitude_difference"):
        picture = await client.get(f"{told['links'][name]}?format=png")
        assert picture.content[:4] == b"\x89PNG"


async def test_a_comparison_is_computed_once(
    client: httpx.AsyncClient, pair: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies with the first job's results, and goes with them; an answer that is known is not sent again."""
    address = f"/v1/jobs/{pair[0]}/comparison/{pair[1]}"
    first = (await client.get(address)).json()

    def never(*_: object) -> None:
        raise AssertionError("it was compared again")

    monkeypatch.setattr(comparisons, "compare", never)
    assert (await client.get(address)).json() == first
    answer = await client.get(f"{address}/amplitude_a")
    again = await client.get(f"{address}/amplitude_a", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert any(name.startswith(f"comparison-{pair[1]}") for name in services(client).store.names(pair[0]))


async def test_a_result_is_like_itself(client: httpx.AsyncClient, pair: list[str]) -> None:
    """In everything."""
    told = (await client.get(f"/v1/jobs/{pair[0]}/comparison/{pair[0]}")).json()
    assert (told["correlation"], told["ssim"], told["overlap"]) == pytest.approx((1, 1, 1), abs=1e-5)
    assert told["phase_difference"]["rms"] < 1e-3


async def test_what_cannot_be_compared_says_why(
    client: httpx.AsyncClient, pair: list[str], pattern: NDArray[np.uint32]
) -> None:
    """An unknown job, one without a result, strain where neither tells a geometry; where one does, it serves both."""
    check(await client.get(f"/v1/jobs/{pair[0]}/comparison/{'0' * 32}"), 404, "0" * 32)
    body = io.BytesIO()
    np.save(body, pattern)
    options = {"refine": "none", "start": "network", "wait": 20}
    sent = {"content": body.getvalue(), "headers": {"Content-Type": "application/x-npy"}}
    plain, bare = [(await client.post("/v1/reconstructions", params=options, **sent)).json()["id"] for _ in range(2)]
    told = (await client.get(f"/v1/jobs/{plain}/comparison/{pair[1]}")).json()
    assert any("momentum transfer of A is unknown" in note for note in told["notes"])
    told = (await client.get(f"/v1/jobs/{plain}/comparison/{bare}")).json()
    assert "strain_a" not in told["links"]
    check(await client.get(f"/v1/jobs/{plain}/comparison/{bare}/strain_a"), 404, told["strain_reason"])
    empty = io.BytesIO()
    np.save(empty, np.zeros((64, 64, 64), np.uint32))
    failed = await client.post(
        "/v1/reconstructions?wait=0", content=empty.getvalue(), headers={"Content-Type": "application/x-npy"}
    )
    check(await client.get(f"/v1/jobs/{pair[0]}/comparison/{failed.json()['id']}"), 409, "has no result")


async def test_the_jobs_of_others_are_not_compared(keyed: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """On neither side; they are answered like jobs that do not exist."""
    body = io.BytesIO()
    np.save(body, pattern)
    made = {}
    for name in ("ada", "bob"):
        answer = await keyed.post(
            "/v1/reconstructions?refine=none&start=network&wait=20",
            content=body.getvalue(),
            headers=by(name) | {"Content-Type": "application/x-npy"},
        )
        made[name] = answer.json()["id"]
    for a, b, end in (("ada", "bob", ""), ("bob", "ada", ""), ("ada", "bob", "/phase_a"), ("bob", "ada", "/phase_a")):
        address = f"/v1/jobs/{made[a]}/comparison/{made[b]}{end}"
        check(await keyed.get(address, headers=by("ada")), 404, made["bob"])
    own = f"/v1/jobs/{made['ada']}/comparison/{made['ada']}"
    assert (await keyed.get(own, headers=by("wall"))).status_code == 200
