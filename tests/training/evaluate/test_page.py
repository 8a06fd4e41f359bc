"""training.evaluate.page: what it says is what was measured."""

from msgspec.structs import replace

from inphase.models.repository import Repository
from tests.training.evaluate.conftest import CASE, MODEL, MODELS, TIMES
from training.evaluate.page import page, spent


def test_the_page_says_what_was_measured(evaluated):
    """Scores stand in the tables with three digits, beside what is absent and whether the figures are reached."""
    lines = list(page(evaluated, [[TIMES]], "the command"))
    text = "\n".join(lines)
    score = evaluated.way(MODEL, CASE).network
    (row,) = (line for line in lines if "inphase-bcdi@9: network |" in line)
    assert f"{score.against.ssim:.3g} ({score.against.ssim:.3g})" in row
    assert f"{score.against.clean_chi2:.3g}" in row
    assert "Something is absent." in text
    assert "`the command`" in text
    verdict = f"{score.against.ssim:.3g}: {'reached' if score.against.ssim >= 0.95 else 'missed'}"
    figures_to_reach = [line for line in lines if "network alone: median SSIM" in line and "1e8" in line]
    assert figures_to_reach == [line for line in figures_to_reach if verdict in line] != []
    assert "| 55: reached |" in text  # the cost of the refinement in iterations of ER


def test_what_a_network_has_seen_is_of_all_its_runs():
    """Those whose weights it went on from count; a card that tells of none has seen nothing that is known."""
    card = Repository(MODELS, "").resolve("autophasenn@3").card
    assert spent(card, "crystals_seen") == 8288 + 8000
    assert spent(replace(card, training={}), "crystals_seen") == 0
