"""The way of one pattern, and the refinement with its escalation."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.ambiguity import align
from inphase.errors import CancelledError, DataError, RecipeError
from inphase.formats import RawScan
from inphase.formats.result import Result
from inphase.formats.scan import Saturation
from inphase.formats.writers import write_result
from inphase.geometry import Geometry
from inphase.metrics import measure, phase_error
from inphase.pattern import Domain
from inphase.retrieval import recipe as recipes
from service import pipeline, refine
from service.clock import Clock
from service.document import JobDocument
from service.inference.repository import Repository
from service.inference.runtime import Network, Networks
from service.options import CONVENTIONAL, Options
from service.pipeline import Draft, Finished
from service.runs import Runs
from tests.service.conftest import crystal

README = Path(__file__).parents[2] / "README.md"
SHORT = "60*HIO+20*ER | SW(every=10,threshold=0.1,sigma=2..1)"  # enough from a random start at 3e6 photons


@pytest.fixture(scope="module")
def networks(models_dir: Path) -> Networks:
    """The toy repository."""
    return Networks(Repository(models_dir, "inphase-bcdi"), threads=1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short conventional recipe: 600 iterations take a test too long."""
    monkeypatch.setitem(recipes.PRESETS, CONVENTIONAL, SHORT)


def raw(array: NDArray[np.generic], geometry: Geometry | None = None) -> RawScan:
    """A scan as a reader gives it."""
    return RawScan(array, geometry, "test", "all")


def run(array: NDArray[np.generic], options: Options, network: Network | None) -> Finished:
    """The whole way in this process."""
    clock = Clock()
    draft, document = pipeline.begin(raw(array), options, network, clock)
    return refine.refine(draft, document, clock)


def test_a_sane_start_is_refined(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """The toy network knows the crystal: its start is accepted, stays the start, and the result is the crystal."""
    finished = run(pattern, Options(refine="10*ER"), networks.get(None))
    document = finished.document
    assert document.state == "succeeded"
    assert (document.start.kind, document.start.why) == ("network", "the network's start is sane")
    assert document.recipe.refine == "10*ER"
    assert document.metrics.random_start is None
    assert document.trust is not None
    assert document.trust.level == "high"
    aligned, _ = align(finished.arrays["object"], crystal())
    # radians; the noise of 3e6 photons in 7504 voxels leaves a few hundredths
    assert phase_error(aligned, crystal(), np.abs(crystal()) > 0) < 0.1


@pytest.mark.usefixtures("quick")
def test_the_arrays_alone_give_the_chi2(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """Where the refinement found how coherent the light was, the kernel is among them; to what canonical form costs in single precision."""
    finished = run(pattern, Options(refine="10*ER | PC(start=0,kernel=gauss)"), networks.get(None))
    result = Result.of(finished.with_document(finished.document).arrays)
    assert result.coherence_kernel is not None
    found = measure(result.object, result.support, result.modulus, result.mask, kernel=result.coherence_kernel)
    assert finished.document.metrics.final is not None
    assert found.chi2 == pytest.approx(finished.document.metrics.final.chi2, rel=1e-3)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("recipe", ["10*ER", "10*ER | PC(start=0,kernel=gauss)"])
def test_the_lines_of_the_readme_give_the_chi2(
    recipe: str, networks: Networks, pattern: NDArray[np.uint32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a kernel and without: numpy and scipy alone, on the file."""
    finished = run(pattern, Options(refine=recipe), networks.get(None))
    write_result(tmp_path / "result.npz", finished.with_document(finished.document).arrays)
    (block,) = (b for b in README.read_text().split("```python\n")[1:] if "np.load" in b)
    monkeypatch.chdir(tmp_path)
    names: dict[str, float] = {}
    exec(block.split("```")[0], names)
    assert finished.document.metrics.final is not None
    assert names["chi2"] == pytest.approx(finished.document.metrics.final.chi2, rel=1e-3)


@pytest.mark.usefixtures("quick")
def test_an_insane_start_escalates(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """`blind` predicts a full box: the conventional recipe runs from random starts, and the document says so."""
    document = run(pattern, Options(model="blind", refine="10*ER", starts=2), networks.get("blind")).document
    assert document.start.kind == "random"
    assert "the network's start is not sane" in document.start.why
    assert "fills 100%" in document.start.why
    assert document.recipe.refine == recipes.resolve(CONVENTIONAL).text
    assert document.metrics.network is not None
    assert document.metrics.random_start == document.metrics.final
    assert document.metrics.final is not None
    assert document.metrics.final.chi2 < 0.2 * document.metrics.network.chi2


@pytest.mark.usefixtures("quick")
def test_an_insane_result_is_compared_with_random_starts(
    networks: Networks, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that fails the rules is compared with the conventional recipe; the better by free log-likelihood stays."""
    monkeypatch.setattr(pipeline, "shortfalls", lambda draft, candidate: ["made up"])
    document = run(pattern, Options(refine="10*ER", starts=1), networks.get(None)).document
    assert "made up" in document.start.why
    assert document.metrics.random_start is not None
    assert document.metrics.final is not None
    assert document.metrics.final.free_llk is not None
    assert document.metrics.random_start.free_llk is not None
    assert document.metrics.final.free_llk <= document.metrics.random_start.free_llk
    kept = document.start.kind
    assert document.recipe.refine == ("10*ER" if kept == "network" else recipes.resolve(CONVENTIONAL).text)


def test_start_network_is_obeyed(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """Asked for the network's start, no rule changes it; the trust tells the truth."""
    document = run(pattern, Options(model="blind", refine="ER", start="network"), networks.get("blind")).document
    assert (document.start.kind, document.start.why) == ("network", "as requested")
    assert document.trust is not None
    assert document.trust.level == "low"


@pytest.mark.usefixtures("quick")
def test_start_random_asks_no_network(pattern: NDArray[np.uint32]) -> None:
    """Without a network: random starts, no network's score, the conventional recipe by default."""
    document = run(pattern, Options(start="random", starts=1), None).document
    assert document.model is None
    assert document.metrics.network is None
    assert document.start.kind == "random"
    assert document.recipe.refine == recipes.resolve(CONVENTIONAL).text


def test_the_seed_makes_a_run_repeatable(pattern: NDArray[np.uint32]) -> None:
    """The same seed gives the same object, bit for bit; another gives another."""
    found = [run(pattern, Options(start="random", refine="5*ER", starts=1, seed=s), None) for s in (3, 3, 4)]
    assert (found[0].arrays["object"] == found[1].arrays["object"]).all()
    assert (found[0].arrays["object"] != found[2].arrays["object"]).any()


def test_an_empty_prediction(networks: Networks, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that predicts nothing: start=auto goes on from random starts, start=network and refine=none are refused."""
    network = networks.get(None)
    nothing = np.zeros((64, 64, 64), np.float32)
    monkeypatch.setattr(network, "predict", lambda features: pipeline.Prediction(nothing, nothing))
    draft, document = pipeline.begin(raw(pattern), Options(), network, Clock())
    assert document.start.kind == "random"
    assert "empty" in document.start.why
    for options in (Options(start="network"), Options(refine="none")):
        with pytest.raises(DataError, match="empty"):
            pipeline.begin(raw(pattern), options, network, Clock())
    assert draft.prediction is not None


def test_a_likelihood_of_counts_needs_counts() -> None:
    """loss=poisson of a modulus is refused before anything runs."""
    assert Options(refine="5*LBFGS(loss=poisson)").recipe() is not None
    with pytest.raises(RecipeError, match="loss=amplitude"):
        Options(refine="5*ER+2*(LBFGS(loss=poisson))", domain=Domain.MODULUS).recipe()


def test_a_model_for_another_domain_is_refused(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """The card says what the network takes."""
    network = networks.get(None)
    version = replace(network.version, card=network.version.card.model_copy(update={"domain": ["modulus"]}))
    other = object.__new__(Network)
    other.__dict__ |= network.__dict__ | {"version": version}
    with pytest.raises(DataError, match="takes modulus, not counts"):
        pipeline.begin(raw(pattern), Options(), other, Clock())


def test_a_draft_survives_the_store(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """What the worker reads back from arrays and document is what the API process had."""
    draft, document = pipeline.begin(raw(pattern), Options(), networks.get(None), Clock())
    again = Draft.from_arrays(draft.to_arrays(), JobDocument.model_validate_json(document.to_json()))
    assert again.problem.padding_bound == draft.problem.padding_bound
    assert again.guess.metrics == draft.guess.metrics
    assert (again.oversampling, again.noise_chi2, again.domain) == (draft.oversampling, draft.noise_chi2, draft.domain)


def test_the_geometry_gives_voxel_sizes(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """With dq per voxel known, the voxel is 2 pi / (N dq); q_steps of 1e6 / m give 98.2 nm on 64 voxels."""
    draft, document = pipeline.begin(
        raw(pattern, Geometry(1e6 * np.eye(3))), Options(refine="none"), networks.get(None), Clock()
    )
    finished = pipeline.finish(draft, document, draft.guess, Clock())
    np.testing.assert_allclose(finished.arrays["voxel_size_m"], 2 * np.pi / (64 * 1e6))
    assert document.preprocess.voxel_size_m is not None


def test_the_document_in_the_file_is_the_document(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """The file carries what the caller was told."""
    draft, document = pipeline.begin(raw(pattern), Options(refine="none"), networks.get(None), Clock())
    finished = pipeline.finish(draft, document, draft.guess, Clock())
    assert json.loads(str(finished.arrays["document"])) == finished.document.model_dump(mode="json")


def test_cancelling_stops_the_iterations(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """The flag is asked before every iteration."""
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    draft, document = pipeline.begin(raw(pattern), Options(refine="1000*ER"), networks.get(None), Clock())
    with pytest.raises(CancelledError):
        refine.refine(draft, document, Clock(), runs=Runs(cancelled=cancelled))
    assert asked == 4


def test_where_the_file_says_that_the_detector_saturates(networks: Networks, pattern: NDArray[np.uint32]) -> None:
    """Counts clipped at the level are masked like voxels that a mask names, and recipe and report say so."""
    level = float(np.sort(pattern, axis=None)[-60])
    clipped = np.minimum(pattern, np.uint32(level))
    told = replace(raw(clipped), saturation=Saturation(level, "'count_cutoff'"))
    named = replace(raw(clipped), mask=(clipped >= level).astype(np.uint8))
    network, options = networks.get(None), Options()
    by_level, document = pipeline.begin(told, options, network, Clock())
    by_mask, _ = pipeline.begin(named, options, network, Clock())
    np.testing.assert_array_equal(by_level.problem.modulus, by_mask.problem.modulus)
    np.testing.assert_array_equal(by_level.problem.mask, by_mask.problem.mask)
    assert document.recipe.preprocess.startswith(f"auto: saturation({level}) ")
    steps = {step.name: step.numbers for step in document.preprocess.steps}
    assert steps["saturation"] == {"voxels": int((clipped >= level).sum()), "level": level}
