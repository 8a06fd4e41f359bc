"""onnxruntime sessions: prediction in the frame, provider as reported, errors."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml

from inphase.models.card import of_patterns
from inphase.models.execution import CPU, Execution, Provider, Wanted
from inphase.models.families import single
from inphase.models.prediction import Tensors
from inphase.models.repository import ModelError, Repository, UnknownModelError
from inphase.models.session import Session, Sessions
from inphase.pattern import Pattern
from tests.toy import GRID, counts, crystal, write_model

PATTERN = Pattern(counts().astype(np.float32), np.zeros(GRID, np.uint8))


@pytest.fixture(scope="module")
def session(models_dir: Path) -> Session:
    """The toy model, loaded."""
    return Session(Repository(models_dir, "inphase-bcdi").resolve(None), threads=1)


def test_the_box_lies_centre_on_centre_in_the_frame(session: Session) -> None:
    """The model's 32^3 box comes back in 64^3 where the crystal is, to float32."""
    card = of_patterns(session.version.card)
    (prediction,) = single.decode(card, session.infer(single.features(card, PATTERN, None)))
    assert prediction.amplitude.shape == GRID
    np.testing.assert_allclose(prediction.amplitude, np.abs(crystal()), atol=1e-6)
    inside = np.abs(crystal()) > 0
    np.testing.assert_allclose(prediction.phase[inside], np.angle(crystal())[inside], atol=1e-6)


def test_the_provider_is_the_one_in_use(session: Session) -> None:
    """Without an accelerator's wheel it is one of those that onnxruntime has, and not a wish."""
    assert session.provider in onnxruntime.get_available_providers()


def test_a_provider_that_the_wheel_lacks_is_told(models_dir: Path) -> None:
    """The network runs on the CPU, and the session says what it was to run on and why it does not."""
    lacking = next(p for p in (Provider.OPENVINO, Provider.CUDA) if p not in onnxruntime.get_available_providers())
    wanted: Wanted = "cuda" if lacking is Provider.CUDA else "openvino"
    sessions = Sessions(Repository(models_dir, "inphase-bcdi"), threads=1, wanted=wanted)
    session = sessions.get(None)
    assert (session.provider, sessions.first) == (Provider.CPU, lacking)
    assert session.passed_over[-1].execution == Execution(lacking, "TF32" if wanted == "cuda" else "float32").label
    assert f"onnxruntime has no {lacking}: " in session.passed_over[-1].why
    assert Sessions(Repository(models_dir, "inphase-bcdi"), threads=1, wanted="cpu").get(None).passed_over == ()


def test_openvino_serves_what_the_cpu_does(models_dir: Path) -> None:
    """In the arithmetic that passes, with the image of the CPU."""
    if Provider.OPENVINO not in onnxruntime.get_available_providers():
        pytest.skip("the installed onnxruntime was not built with OpenVINO: the extra `openvino` has one that was")
    sessions = Sessions(Repository(models_dir, "inphase-bcdi"), threads=1, wanted="openvino")
    found = sessions.get(None)
    assert (found.provider, sessions.first) == (Provider.OPENVINO, Provider.OPENVINO)
    card = found.version.card
    (prediction,) = single.decode(card, found.infer(single.features(card, PATTERN, None)))
    np.testing.assert_allclose(prediction.amplitude, np.abs(crystal()), atol=2**-8)  # half a step of bfloat16


def test_what_computes_another_image_is_passed_over(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever asks gets the right one. The CPU stands in for something that loses half of every image."""
    losing, infer = Execution(Provider.CPU, "bfloat16"), Session.infer

    def halved(session: Session, tensors: Tensors) -> Tensors:
        outputs = dict(infer(session, tensors))
        if session.execution == losing:
            outputs["amplitude"] = outputs["amplitude"] * (np.arange(32) < 16)
        return outputs

    monkeypatch.setattr(Session, "infer", halved)
    monkeypatch.setattr("inphase.models.session.ways", lambda *_: (losing, CPU))
    session = Sessions(Repository(models_dir, "inphase-bcdi"), threads=1).get(None)
    assert session.execution == CPU
    (passed,) = session.passed_over
    assert passed.execution == "CPU in bfloat16"
    assert passed.why.startswith("chi2 of its image of the test pattern is")


def test_what_is_kept_is_there_before_anybody_asks(models_dir: Path) -> None:
    """With the default one; neither is unloaded, and a new state of the repository has both again."""
    sessions = Sessions(Repository(models_dir, "inphase-bcdi"), threads=1, kept=("blind",))
    sessions.load_kept()
    assert sessions.unload(idle_s=0) == []
    sessions.follow(Repository(models_dir, "inphase-bcdi"))
    assert [sessions.loaded(sessions.repository.resolve(n)) is not None for n in ("inphase-bcdi", "blind")] == [1, 1]
    with pytest.raises(UnknownModelError, match="nonesuch"):
        Sessions(Repository(models_dir, "inphase-bcdi"), threads=1, kept=("nonesuch",)).load_kept()


def test_every_number_of_patterns_is_warm(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are chosen for each size: the first batch of three is not to wait for that."""
    sizes = []
    monkeypatch.setattr(session, "infer", lambda tensors: sizes.append({len(tensor) for tensor in tensors.values()}))
    session.warm(3)
    assert sizes == [{1}, {2}, {3}]


def test_a_model_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    """A file with the right checksum that onnxruntime cannot load gives one clear error."""
    folder = write_model(tmp_path, crystal(), name="a")
    (folder / "model.onnx").write_bytes(b"not a graph")
    card = yaml.safe_load((folder / "card.yaml").read_text())
    card["sha256"] = hashlib.sha256(b"not a graph").hexdigest()
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(ModelError, match="a@1 does not load"):
        Sessions(Repository(tmp_path, "a")).get(None)


def test_a_card_with_other_inputs_than_the_graph_is_refused(tmp_path: Path) -> None:
    """Card and graph must name the same inputs."""
    write_model(tmp_path, crystal(), name="a", inputs=["modulus"])
    with pytest.raises(ModelError, match="its card says"):
        Sessions(Repository(tmp_path, "a")).get(None)


def test_a_session_is_loaded_once(models_dir: Path) -> None:
    """Threads that ask at the same time get one and the same session."""
    sessions = Sessions(Repository(models_dir, "inphase-bcdi"), threads=1)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: sessions.get("inphase-bcdi@1"), range(8)))
    assert len(found) == 1
    assert sessions.provider(found.pop().version) is not None
    assert sessions.provider(sessions.repository.resolve("blind")) is None
    assert sessions.loaded(sessions.repository.resolve("blind")) is None
    assert sessions.loaded(sessions.repository.resolve("inphase-bcdi")) is sessions.get(None)


def test_a_session_gets_its_own_inputs_only(session: Session) -> None:
    """Features that a card does not name are left out, so that sessions with different inputs share one service."""
    card = of_patterns(session.version.card)
    features = single.features(card, PATTERN, None)
    alone = session.infer(features)
    beside = session.infer({**features, "other": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(alone["amplitude"], beside["amplitude"])


def test_a_batch_is_answered_pattern_by_pattern(session: Session) -> None:
    """Three patterns in one call: three predictions, each the one that it gets alone."""
    card = of_patterns(session.version.card)
    features = single.features(card, PATTERN, None)
    batch = {name: np.concatenate([tensor] * 3) for name, tensor in features.items()}
    (alone,) = single.decode(card, session.infer(features))
    together = single.decode(card, session.infer(batch))
    assert len(together) == 3
    for one in together:
        np.testing.assert_array_equal(one.amplitude, alone.amplitude)


def test_a_card_with_an_unknown_input_is_refused(tmp_path: Path) -> None:
    """No feature of that name can be made: the card says so, and what there is."""
    write_model(tmp_path, crystal(), name="a", inputs=["modulus", "phase"])
    repository = Repository(tmp_path, "a")
    assert "inputs are modulus, valid, autocorrelation" in repository.refused[0].why


# ---- another state of the repository


def two_versions(root: Path) -> Sessions:
    """a@1, which is active, and a@2; a@1 is loaded."""
    for version in (1, 2):
        write_model(root, crystal(), name="a", version=version)
    (root / "a" / "active").write_text("1")
    sessions = Sessions(Repository(root, "a"), threads=1)
    sessions.get(None)
    return sessions


def test_the_new_active_version_is_loaded_before_anybody_asks(tmp_path: Path) -> None:
    """The old one can be used to its end by whoever has it, and stays until it has been idle."""
    sessions = two_versions(tmp_path)
    old = sessions.get(None)
    (tmp_path / "a" / "active").write_text("2")
    sessions.follow(Repository(tmp_path, "a"))
    assert sessions.provider(sessions.repository.resolve("a@2")) is not None
    assert sessions.get(None).version.label == "a@2"
    card = of_patterns(old.version.card)
    assert "amplitude" in old.infer(single.features(card, PATTERN, None))
    assert sessions.unload(idle_s=60) == []
    assert sessions.unload(idle_s=0) == ["a@1"]
    assert sessions.provider(sessions.repository.resolve("a@1")) is None
    assert sessions.get("a@1") is not old


def test_a_version_that_does_not_run_changes_nothing(tmp_path: Path) -> None:
    """Requests get the one that they got."""
    sessions = two_versions(tmp_path)
    folder = tmp_path / "a" / "2"
    (folder / "model.onnx").write_bytes(b"not a graph")
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"sha256": hashlib.sha256(b"not a graph").hexdigest()}))
    (tmp_path / "a" / "active").write_text("2")
    with pytest.raises(ModelError, match="a@2 does not load"):
        sessions.follow(Repository(tmp_path, "a"))
    assert sessions.get(None).version.label == "a@1"


def test_a_graph_that_was_changed_since_its_card_was_read_is_not_loaded(tmp_path: Path) -> None:
    """What runs is what the card speaks of, or nothing; one that is gone is an error as well."""
    sessions = two_versions(tmp_path)
    graph = tmp_path / "a" / "2" / "model.onnx"
    with graph.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match="a@2 was changed"):
        sessions.get("a@2")
    graph.unlink()
    with pytest.raises(ModelError, match="a@2 cannot be read: No such file"):
        sessions.get("a@2")
