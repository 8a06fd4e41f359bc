"""benchmarks.networks: the page of the papers' networks says what was measured."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.networks import app
from training.evaluate import outcomes
from training.evaluate.outcomes import Case, Model
from training.evaluate.plan import Plan

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.slow
def test_the_papers_networks_alone(tmp_path: Path) -> None:
    """Medians and worse ends of what each crystal gave, whichever set it is of; a second run finds that done."""
    out = tmp_path / "alone.md"
    asked = ["papers", "--model", "inphase-glance@1", "--crystals", "2", "--kept", str(tmp_path), "--out", str(out)]
    run = CliRunner().invoke(app, asked)
    assert run.exit_code == 0, run.output
    held = sorted(tmp_path.iterdir())
    first, second = (
        outcomes.path(Case("as in the papers", i), Model(MODELS, "inphase-glance@1"), Plan(), tmp_path)[0]
        for i in (0, 1)
    )
    assert sorted(tmp_path.iterdir()) == held  # both were there
    rows = [line for line in out.read_text().splitlines() if line.startswith("| inphase-glance@1 |")]
    assert len(rows) == 2  # the papers' crystals, and the atomistic ones
    ssim = [found.network.against.ssim for found in (first, second) if found.network and found.network.against]
    refined = [found.refined.against.clean_chi2 for found in (first, second) if found.refined and found.refined.against]
    cells = [cell.strip() for cell in rows[0].split("|")[1:-1]]
    assert cells[3] == f"{np.median(ssim):.3g} ({np.percentile(ssim, 5):.3g})"
    assert cells[5] == f"{first.sane + second.sane} of 2"
    assert cells[8] == f"{np.median(refined):.3g} ({np.percentile(refined, 95):.3g})"
