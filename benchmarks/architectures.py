"""Inputs, outputs, encoders, widths, projections and the optimiser of inphase-bcdi at equal training cost.

python -m benchmarks.architectures --minutes 5           # about as many minutes for each of the variants, on one core

An interrupted run of the same folder goes on.
"""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks import ROOT
from inphase.features import KNOWN_VALID
from training.data import HELD_OUT_SEED, sample
from training.evaluate.machine import header
from training.evaluate.tables import number, table
from training.features import features_of
from training.fit import train
from training.module import PhaseRetrieval
from training.networks.blocks import depth_to_space
from training.networks.cascade import Cascade, LatentUNet, flat, head
from training.networks.coherence import TYPICAL
from training.networks.far_field import parts
from training.networks.network import Network, in_format
from training.objectives.truth import nearest, squared_correlation, subvoxel_aligned
from training.settings import FitSettings

RESULTS = ROOT / "benchmarks" / "results"
HELD_OUT_BATCHES = 8
ROUNDS = 3  # of timing, one variant after the other


class NoAutocorrelation(Cascade):
    """The square root of the modulus and the mask."""

    @staticmethod
    def patterns(modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> Tensor:
        return Cascade.patterns(modulus, valid, torch.zeros_like(autocorrelation))


class NoModulus(Cascade):
    """The autocorrelation and the mask."""

    @staticmethod
    def patterns(modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> Tensor:
        return Cascade.patterns(torch.zeros_like(modulus), valid, autocorrelation)


class NoMask(Cascade):
    """Modulus and autocorrelation."""

    @staticmethod
    def patterns(modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> Tensor:
        return Cascade.patterns(modulus, torch.zeros_like(valid), autocorrelation)


class LogModulus(Cascade):
    """The logarithm of the intensity, 0 at 1e-6 of the largest and 1 at the largest, in place of the modulus' root."""

    @staticmethod
    def patterns(modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> Tensor:
        decades = 1 + modulus.clamp_min(1e-3).log10() / 3
        return Cascade.patterns(decades.square(), valid, autocorrelation)


class NoPlace(Cascade):
    """A convolutional network that is not told where a voxel lies."""

    def __init__(self, frame: int = 64) -> None:
        super().__init__(frame)
        self.place.zero_()


class Angle(Cascade):
    """The phase as pi tanh of one channel, as AutoPhaseNN has it, in place of its cosine and sine."""

    def draft(self, patterns: Tensor) -> Tensor:
        drawn = self.first(torch.cat([self.patches(patterns), self.place.expand(len(patterns), -1, -1, -1, -1)], 1))
        amplitude, angle, _ = depth_to_space(drawn).split(1, 1)
        angle = torch.pi * angle.tanh()
        return head(amplitude, torch.cat([angle.cos(), angle.sin()], 1))


class ReciprocalPhase(Cascade):
    """The phase of the far field at every voxel of the frame:
    the object is the inverse transform with the measured modulus.
    """

    def __init__(self, frame: int = 64) -> None:
        super().__init__(frame)
        self.first = LatentUNet(32 + 3, 64 * 2, (32, 96, 176), (1, 1, 2))
        flat(self.first.leave, (1, 0))

    def draft(self, patterns: Tensor) -> Tensor:
        drawn = self.first(torch.cat([self.patches(patterns), self.place.expand(len(patterns), -1, -1, -1, -1)], 1))
        direction = depth_to_space(depth_to_space(drawn))
        length = (direction.square().sum(1, keepdim=True) + 1e-6).sqrt()
        return parts(self.far_field.adjoint(patterns[:, :1].square() * direction / length))


class Voxels(Cascade):
    """No patches on the object's side: the U-Net begins and ends on the voxels of the box."""

    def __init__(self, frame: int = 64) -> None:
        super().__init__(frame)
        self.patches = nn.Conv3d(4, 16, 2, stride=2)
        self.first = LatentUNet(16 + 3, 3, (16, 32, 96, 176), (1, 1, 1, 2))
        flat(self.first.leave, (0, 1, 0))
        self.place = nn.functional.interpolate(self.place, scale_factor=2, mode="trilinear", align_corners=True)

    def draft(self, patterns: Tensor) -> Tensor:
        drawn = self.first(torch.cat([self.patches(patterns), self.place.expand(len(patterns), -1, -1, -1, -1)], 1))
        return head(drawn[:, :1], drawn[:, 1:])


class Unsearched(Cascade):
    """The corrections follow the U-Net, without a search between them."""

    def __init__(self, frame: int = 64, corrections: int = 4) -> None:
        super().__init__(frame, corrections=corrections)
        self.search = Untouched()  # type: ignore[assignment]  # called as a Search is, and nothing else is asked of it


class Untouched(nn.Module):
    """In the place of a search: the object as it is, in typical light."""

    def forward(self, box: Tensor, modulus: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        return box, torch.full((len(box), 3), TYPICAL, device=box.device)


@dataclass(frozen=True)
class Variant:
    """A network, what share of its training the U-Net has for itself, and how its weights are stepped."""

    group: str
    name: str
    build: Callable[[], Cascade]
    alone: float = 1.1  # more than all: no search, no corrections
    optimizer: str = FitSettings.optimizer
    rate: float = FitSettings.learning_rate

    @property
    def folder(self) -> str:
        """Of its training run."""
        return f"{self.group} {self.name}".replace(" ", "-").replace(",", "")


VARIANTS = (
    Variant("as shipped", "U-Net alone", Cascade),
    Variant("input", "no autocorrelation", NoAutocorrelation),
    Variant("input", "autocorrelation, no modulus", NoModulus),
    Variant("input", "log of the intensity", LogModulus),
    Variant("input", "no mask", NoMask),
    Variant("input", "no place", NoPlace),
    Variant("output", "phase as an angle", Angle),
    Variant("output", "reciprocal phase", ReciprocalPhase),
    Variant("encoder", "voxels", Voxels),
    Variant("encoder", "half the width", partial(Cascade, patch=16, widths=(16, 48, 88))),
    Variant("encoder", "twice the width", partial(Cascade, patch=64, widths=(64, 192, 352))),
    Variant("encoder", "twice the depth", partial(Cascade, depths=(2, 2, 4))),
    Variant("projections", "2 corrections", partial(Unsearched, corrections=2), 0.15),
    Variant("projections", "search, 2 corrections", partial(Cascade, corrections=2), 0.15),
    Variant("projections", "search, 2 corrections, late", partial(Cascade, corrections=2), 0.7),
    Variant("optimizer", "Muon at the same rate", Cascade, optimizer="muon"),
    Variant("optimizer", "Muon at a third of the rate", Cascade, optimizer="muon", rate=5e-4),
)


@dataclass(frozen=True)
class Cost:
    """Seconds: of training for each crystal, and of the U-Net's answer to one pattern."""

    crystal: float
    draft: float


@dataclass(frozen=True)
class Quality:
    """Over the held-out crystals: likeness to the truth (means), R (mean) and chi2 (median)
    of the network's last step.
    """

    likeness: float
    r_factor: float
    chi2: float
    searched: float  # likeness where the draft is followed by the service's search
    solved: float  # share of the crystals that this brings above 0.95


def module_of(variant: Variant, budget_crystals: float = 1.0) -> PhaseRetrieval:
    """A fresh one; all variants see the same crystals in the same order."""
    torch.manual_seed(1)
    settings = FitSettings(
        objective="correlation",
        objective_options={"alone": variant.alone},
        optimizer=variant.optimizer,
        learning_rate=variant.rate,
        validation_crystals=8,
    )
    module = PhaseRetrieval(settings.as_dict(), budget_crystals)
    module.network = in_format(variant.build(), torch.channels_last_3d)
    module.average = copy.deepcopy(module.network).requires_grad_(False)
    return module


def cascade(network: Network) -> Cascade:
    """The variant as what every one of them is."""
    assert isinstance(network, Cascade)
    return network


def costs() -> dict[str, Cost]:
    """Of all variants, measured in turn on one thread: the processor's seconds, the least of several rounds."""
    modules = {variant.name: module_of(variant) for variant in VARIANTS}
    optimizers = {name: module.configure_optimizers() for name, module in modules.items()}
    seconds: dict[str, list[float]] = {name: [] for name in modules}
    drafts: dict[str, list[float]] = {name: [] for name in modules}
    for step in range(ROUNDS + 1):
        for variant in VARIANTS:
            module = modules[variant.name]
            step_s = partial(_step_s, module, optimizers[variant.name], number=step)
            alone = min(variant.alone, 1.0)
            seconds[variant.name].append(
                alone * step_s(progress=0.0) + ((1 - alone) * step_s(progress=1.0) if alone < 1 else 0.0)
            )
            drafts[variant.name].append(_draft_s(module))
    return {
        name: Cost(min(seconds[name][1:]) / modules[name].settings.batch, min(drafts[name][1:]))
        for name in modules
    }  # fmt: skip


def _step_s(module: PhaseRetrieval, optimizer: Optimizer, progress: float, number: int) -> float:
    """Of one training step: simulation, forward, backward, and the step of the weights."""
    begin = time.process_time()
    module.objective.prepare(module.network, progress, number)
    loss, _ = module.pursue(module.network, module.draw(1, number))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - begin


@torch.no_grad()
def _draft_s(module: PhaseRetrieval) -> float:
    n = module.settings.frame[0]
    patterns = torch.zeros(1, 4, n, n, n)
    begin = time.process_time()
    cascade(module.average).draft(patterns)
    return time.process_time() - begin


@torch.no_grad()
def quality(module: PhaseRetrieval) -> Quality:
    """Of the average of the weights, on crystals that no training sees."""
    network = cascade(module.average).eval()
    module.objective.prepare(network, 1.0 if module.settings.objective_options["alone"] < 1 else 0.0, 0)
    search = Cascade(module.settings.frame[0]).search
    figures: list[dict[str, Tensor]] = []
    likeness: list[Tensor] = []
    for number_of in range(HELD_OUT_BATCHES):
        batch = sample(module.settings, HELD_OUT_SEED, number_of, module.settings.batch, module.device)
        figures.append(module.pursue(network, batch)[1])
        features = features_of(batch.measurement, network.inputs)
        known = (features["valid"] == KNOWN_VALID).float()
        draft = network.draft(network.patterns(**features))
        found = torch.complex(*search(draft, features["modulus"], known)[0].unbind(1))
        likeness.append(squared_correlation(found, subvoxel_aligned(nearest(batch.objects, found), found)).sqrt())
    searched = torch.cat(likeness)
    mean = {name: float(torch.stack([f[name] for f in figures]).mean()) for name in ("correlation", "R", "chi2")}
    return Quality(
        mean["correlation"], mean["R"], mean["chi2"], float(searched.mean()), float((searched > 0.95).float().mean())
    )


def trained(variant: Variant, crystals: float, run: Path) -> PhaseRetrieval:
    """The variant after so many crystals; what a run of this folder has is not done again."""
    module = module_of(variant, crystals)
    last = run / "last.ckpt"
    if not last.exists() or _checkpoint(last)["seen"] < crystals:
        train(module, run)
    state = _checkpoint(last)
    module.load_state_dict(state["state_dict"])
    module.seen = state["seen"]
    return module


def _checkpoint(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def row(variant: Variant, cost: Cost, module: PhaseRetrieval) -> tuple[str, ...]:
    """Of the table."""
    found = quality(module)
    network = cascade(module.network)
    unet = nn.ModuleList((network.patches, network.first))
    return (
        variant.group,
        variant.name,
        number(sum(p.numel() for p in unet.parameters()) / 1e6),
        f"{cost.draft * 1e3:.0f}",
        str(module.seen),
        f"{found.likeness:.3f}",
        number(found.r_factor),
        number(found.chi2),
        f"{found.searched:.3f}",
        f"{100 * found.solved:.0f} %",
    )


def main(
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Each variant is trained for so many minutes on one core.")
    ] = 5.0,
    runs: Annotated[Path, typer.Option(help="The training runs and their costs are kept in this folder.")] = Path(
        "runs/architectures"
    ),
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = RESULTS
    / "architectures.md",
) -> None:
    """Train every variant for the same time from the same start, on the same crystals,
    and judge all on the same others.

    Example: python -m benchmarks.architectures --minutes 5
    """
    torch.set_num_threads(1)
    runs.mkdir(parents=True, exist_ok=True)
    measured = runs / "costs.json"
    if not measured.exists():
        measured.write_text(json.dumps({name: vars(cost) for name, cost in costs().items()}))
    cost = {name: Cost(**values) for name, values in json.loads(measured.read_text()).items()}
    untrained = Variant("untrained", "U-Net alone", Cascade)
    rows = [row(untrained, cost[VARIANTS[0].name], module_of(untrained))]
    for variant in VARIANTS:
        its = cost[variant.name]
        rows.append(row(variant, its, trained(variant, minutes * 60 / its.crystal, runs / variant.folder)))
        typer.echo(" ".join(rows[-1]))
    columns = (
        "", "variant", "U-Net, million weights", "U-Net, ms", "crystals seen", "likeness", "R", "chi2",
        "likeness after the search", "solved",
    )  # fmt: skip
    text = [
        "# inphase-bcdi: what was tried, at equal training cost",
        "",
        header(),
        "",
        f"One command makes this page: `python -m benchmarks.architectures --minutes {minutes:g}`. "
        f"{minutes:g} minutes of a core for each, counted in crystals by what one costs, from nothing, on the same "
        "crystals in the same order; judged on "
        f"the same {HELD_OUT_BATCHES * FitSettings().batch} others by the average of the weights. Likeness: the "
        "correlation with the truth, twin and sub-voxel shift aside. Likeness, R and chi2 are of the last step: of the "
        "U-Net, or of the corrections where there are some. After the search: of the U-Net's object when the search of "
        "`inphase-bcdi` has run from it. Solved: that likeness is above 0.95.",
        "",
        *table(columns, rows),
    ]
    out.write_text("\n".join(text))
    typer.echo(str(out))


if __name__ == "__main__":
    typer.run(main)
