"""training.fit: a seed is a network, an interruption changes nothing, a budget ends it."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.small import FILTERS, small
from training.export import load
from training.features import features_of
from training.fit import fit, train
from training.module import SETTLING, PhaseRetrieval
from training.settings import from_dict

pytestmark = FILTERS

IMAGES: dict[str, Any] = {
    "architecture": "wu2d", "network": {"widths": [4, 4]}, "objective": "wu2d", "frame": [32, 32], "box": [16, 16],
    "particles": {"half_length": [3.0, 6.0], "depth": 8}, "batch": 2, "validation_crystals": 2, "precision": "single",
}  # fmt: skip


def checkpoint(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])


def test_a_seed_is_a_network(tmp_path: Path) -> None:
    """Two fits of one seed end in the same weights, bit for bit; another seed ends in others."""
    runs = [checkpoint(fit(small(seed=s), tmp_path / str(i), crystals=4)) for i, s in enumerate((1, 1, 2))]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_an_interrupted_fit_goes_on_as_if_it_had_not_been(tmp_path: Path, optimizer: str) -> None:
    """Weights, optimiser and learning rate after 2 + 2 steps are those after 4 (a schedule that knows no budget)."""
    settings = small(schedule="plateau", plateau_patience=0, optimizer=optimizer)
    whole = checkpoint(fit(settings, tmp_path / "whole", crystals=8))
    fit(settings, tmp_path / "parts", crystals=4)
    parts = checkpoint(fit(settings, tmp_path / "parts", crystals=8))
    assert same(whole, parts)
    assert (whole["seen"], whole["global_step"]) == (parts["seen"], parts["global_step"]) == (8, 4)
    assert whole["schedule"] == parts["schedule"]


def test_the_cosine_ends_with_the_budget(tmp_path: Path) -> None:
    """The last step is made at the rate of 1 - 1/4 of the budget's half cosine, after the warm-up."""
    found = checkpoint(fit(small(warmup_steps=1, learning_rate=1e-3), tmp_path, crystals=8))
    rate = found["optimizer_states"][0]["param_groups"][0]["lr"]
    assert rate == pytest.approx(1e-3 * 0.5 * (1 + torch.cos(torch.tensor(0.75 * torch.pi)).item()))


def test_the_papers_rate_for_images_falls_in_steps(tmp_path: Path) -> None:
    """SGD with momentum; 0.95 of the rate after every four crystals: after 10 of them 0.95^2, also where it goes on."""
    settings = from_dict(IMAGES | {
        "optimizer": "sgd", "betas": [0.5, 0.9], "schedule": "steps", "step_crystals": 4, "learning_rate": 0.01,
    })  # fmt: skip
    for crystals in (6, 12):
        group = checkpoint(fit(settings, tmp_path, crystals=crystals))["optimizer_states"][0]["param_groups"][0]
        assert group["momentum"] == 0.5
        assert group["lr"] == pytest.approx(0.01 * 0.95 ** ((crystals - 2) // 4))


@pytest.mark.parametrize("decay", [0.9, 0.0])
def test_the_averaged_network_is_normalised_by_its_own_batches(tmp_path: Path, decay: float) -> None:
    """The first normalisation of the saved average has the mean of the batches that it was settled with, also where
    the average is the weights themselves.
    """
    settings = from_dict(IMAGES | {"average_decay": decay})
    module = PhaseRetrieval.load_from_checkpoint(
        fit(settings, tmp_path, crystals=12), map_location="cpu", weights_only=True
    )
    level = module.average.encoder[0]
    convolution, activation, norm = (level[i] for i in range(3))
    with torch.no_grad():
        patterns = [
            features_of(module.draw(settings.seed, number).measurement, ("modulus",))["modulus"][:, None]
            for number in range(SETTLING)
        ]
        expected = torch.stack([activation(convolution(x)).mean((0, 2, 3)) for x in patterns]).mean(0)
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-3, atol=1e-5)


def test_a_cascade_learns_from_nothing(tmp_path: Path) -> None:
    """Forty steps bring crystals that it has not seen to a likeness of 0.73;
    where it starts from noise, 0.41 or nothing at all.
    """
    settings = small(
        batch=4, validation_crystals=16, warmup_steps=5, learning_rate=3e-3,
        objective="correlation", objective_options={"alone": 1.1},
    )  # fmt: skip
    fit(settings, tmp_path, crystals=160)
    with (tmp_path / "log" / "version_0" / "metrics.csv").open() as file:
        likeness = [row["val_correlation"] for row in csv.DictReader(file)]
    assert float(likeness[-1]) > 0.6


def test_a_loss_that_is_no_number_ends_the_fit(tmp_path: Path) -> None:
    """At once, with the step and what to do, and the weights of the checkpoint stay finite."""
    path = fit(small(), tmp_path / "run", crystals=4)
    broken = checkpoint(path)
    broken["state_dict"]["network.first.leave.weight"].fill_(torch.nan)
    torch.save(broken, path)
    with pytest.raises(FloatingPointError, match="the loss of step 2 is nan: go on from"):
        fit(small(), tmp_path / "run", crystals=8)


def test_a_fit_without_a_budget_is_refused(tmp_path: Path) -> None:
    """Nothing would end it."""
    with pytest.raises(ValueError, match="needs a budget"):
        fit(small(), tmp_path)


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    """At a rate of nothing it ends with them; the checkpoint tells of both runs, and a third of three."""
    tiny = {"architecture": "autophasenn", "network": {"width": 4}, "average_decay": 0.0}
    path = fit(small(**tiny, objective="likeness"), tmp_path / "0", crystals=4)
    given = checkpoint(path)
    for number in (1, 2):
        settings = small(**tiny, objective="autophasenn", learning_rate=0.0, weight_decay=0.0, seed=2)
        path = fit(settings, tmp_path / str(number), crystals=2, begin=path)
    found = checkpoint(path)
    names = [name for name in given["state_dict"] if name.endswith(("weight", "bias"))]
    assert all(torch.equal(given["state_dict"][name], found["state_dict"][name]) for name in names)
    earlier = found["hyper_parameters"]["earlier"]
    assert [run["settings"]["objective"] for run in earlier] == ["likeness", "autophasenn"]
    assert [run["crystals_seen"] for run in earlier] == [4, 2]
    assert found["seen"] == 2


def test_the_record_tells_the_budget_that_the_run_had(tmp_path: Path) -> None:
    """Whatever stands in the configuration: the last one, where a run went on, in crystals and in time."""
    tiny = small(architecture="autophasenn", network={"width": 4}, average_decay=0.0, budget=400)
    path = fit(tiny, tmp_path, crystals=2)
    assert from_dict(load(path).record["settings"]).budget == 2
    path = fit(tiny, tmp_path, crystals=4, seconds=1e4)
    record = load(path).record
    assert (record["settings"]["budget"], record["budget_s"], record["crystals_seen"]) == (4, 10_000, 4)
    timed = PhaseRetrieval(tiny.as_dict(), budget_s=60.0)
    assert (timed.record["settings"]["budget"], timed.record["budget_s"]) == (None, 60)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """Of another width: nothing of it could be used."""
    path = fit(small(architecture="autophasenn", network={"width": 4}), tmp_path / "0", crystals=2)
    with pytest.raises(ValueError, match="do not fit a network of"):
        fit(small(architecture="autophasenn", network={"width": 8}), tmp_path / "1", crystals=2, begin=path)


@pytest.mark.parametrize("hardware", [True, False])
@pytest.mark.parametrize("precision", ["bfloat16", "single"])
def test_a_network_learns_in_bfloat16_where_it_is_wanted_and_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, hardware: bool
) -> None:
    """Its average, which is judged and exported, never."""
    monkeypatch.setattr("training.module.multiplies_in_bfloat16", lambda _: hardware)
    settings = small(architecture="autophasenn", network={"width": 4}, precision=precision)
    module = PhaseRetrieval(settings.as_dict(), 2)
    train(module, tmp_path)
    assert module.network.mixed is (precision == "bfloat16" and hardware)
    assert not module.average.mixed
