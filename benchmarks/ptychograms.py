"""A finished ptychographic scan over HTTP: 1,024 patterns of 64 x 64 from their sender to the image in its hands, by a
network, by iterations, and by both.

python -m benchmarks.ptychograms --models build/ptychopinn/models      # some minutes of two cores

The model repository is that of benchmarks.ptychopinn.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.live.curves import RESULTS
from benchmarks.live.serving import service
from benchmarks.ptychopinn.networks import Trained, corner, test_raster, trained
from inphase import machine, ptycho
from inphase.client import Client
from inphase.models.session import Session
from inphase.ptycho.prediction import drawn
from training.evaluate.machine import header
from training.evaluate.tables import table

TURNS: Final = 2
# the probe is known and kept, as in benchmarks.ptychopinn
KEPT: Final[dict[str, Any]] = {"turn": False, "hold_out": 0.0, "probe_start": 1000}
RECIPES: Final = ("1*EPIE", "5*EPIE")


@dataclass
class Way:
    """One way to an image. run: gives it, None where there is none to judge. seconds: of each turn. found: the last."""

    title: str
    run: Callable[[], NDArray[np.complex64] | None]
    seconds: list[float]
    found: NDArray[np.complex64] | None = None


@dataclass(frozen=True)
class Scene:
    """A scan, the network that was made for it, and what the object truly is."""

    network: Trained
    measured: ptycho.Measurement
    truth: NDArray[np.complex64]

    @classmethod
    def of(cls, network: Trained) -> "Scene":
        raster = test_raster(network, network, network.raster.step)
        return cls(network, corner(raster, network.raster.step), raster.objects[0])

    def correlation(self, image: NDArray[np.complex64]) -> float:
        """With the truth, where several windows light both."""
        rows, columns = image.shape
        inner = np.zeros(image.shape, bool)
        inner[24:-24, 24:-24] = True
        return ptycho.compared(image, self.truth[:rows, :columns], inner).correlation

    def ways(self, client: Client) -> list[Way]:
        """In this process, and over HTTP."""
        session = Session(self.network.version, machine.threads())
        return [
            Way("here: the network alone", partial(self._drawn, session), []),
            Way("here: the network, stitched", lambda: ptycho.predict(self.measured, session).object, []),
            *(Way(f"here: {recipe}", partial(self._iterated, recipe), []) for recipe in RECIPES),
            Way("HTTP: the network, stitched", partial(self._sent, client, "none", self.name), []),
            Way("HTTP: the network and 5*EPIE", partial(self._sent, client, "5*EPIE", self.name), []),
            *(Way(f"HTTP: {recipe}", partial(self._sent, client, recipe, None), []) for recipe in RECIPES),
        ]  # fmt: skip

    @property
    def name(self) -> str:
        return self.network.card.name

    def _drawn(self, session: Session) -> None:
        drawn(self.measured, session)

    def _iterated(self, recipe: str) -> NDArray[np.complex64]:
        return ptycho.reconstruct(self.measured, ptycho.Options(recipe, **KEPT)).object

    def _sent(self, client: Client, refine: str, model: str | None) -> NDArray[np.complex64]:
        """From arrays in memory to arrays in memory."""
        assert self.measured.probe is not None
        document = client.reconstruct_ptychogram(
            self.measured.patterns.astype(np.uint32), self.measured.positions_px, probe=self.measured.probe,
            unit="pixel", refine=refine, model=model, reuse=False, wait=60, **KEPT,
        )  # fmt: skip
        if document["state"] != "succeeded":
            raise RuntimeError(document["reason"])
        return client.result(document["id"]).object


def measured(ways: list[Way]) -> None:
    """Each once without counting, then all of them in turns."""
    for turn in range(TURNS + 1):
        for way in ways:
            begun = time.perf_counter()
            way.found = way.run()
            if turn:
                way.seconds.append(time.perf_counter() - begun)


def rows(scene: Scene, ways: list[Way]) -> list[list[str]]:
    """Of a table."""
    return [
        [
            scene.network.title,
            way.title,
            " ".join(f"{one:.2f}" for one in way.seconds),
            "-" if way.found is None else f"{scene.correlation(way.found):.4f}",
        ]
        for way in ways
    ]


def main(
    models: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The networks are in this repository.")],
    out: Annotated[Path, typer.Option(help="The table goes to this Markdown file.")] = RESULTS / "ptychograms.md",
) -> None:
    """Measure, and write the page."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for found in (*ROOT.glob("models/*"), *models.resolve().glob("*")):
            (Path(folder) / found.name).symlink_to(found)
        with service(INPHASE_MODELS_DIR=folder) as client:
            for (name, texture), network in trained(models).items():
                if (name, texture) == ("ptychopinn", "lines"):
                    scene = Scene.of(network)
                    ways = scene.ways(client)
                    measured(ways)
                    lines += rows(scene, ways)
                    typer.echo(f"{network.title} done")
    page = [
        "# Finished ptychographic scans over HTTP\n", f"{header()}\n", _PREFACE,
        *table(["network", "way", "seconds", "correlation"], lines),
    ]  # fmt: skip
    out.write_text("\n".join(page).rstrip() + "\n")
    typer.echo(f"wrote {out}")


_PREFACE: Final = (
    "1,024 patterns of 64 x 64 (16.8 MB) on a raster of 4 pixels, a held-out object of the texture Lines, the probe "
    "known and kept. Seconds of the clock, two turns of all ways. "
    "*Here* is the library in one process; *HTTP* is from arrays in the memory of a client to the image in its memory: "
    "sending, reading in the sandbox, the network in the API, the store, a worker, fetching. A service with one worker "
    "and Redis run on the same machine. The correlation is that with the true object. Command: `python -m "
    "benchmarks.ptychograms --models FOLDER`, with the networks of [PtychoPINN and PtychoNN](ptychopinn.md).\n"
)


if __name__ == "__main__":
    typer.run(main)
