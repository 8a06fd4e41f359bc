"""benchmarks.ptychopinn.learning: what a run's table says of it."""

from pathlib import Path

from benchmarks.ptychopinn.learning import curves


def test_errors_are_told_in_decibels_at_the_nearest_validation(tmp_path: Path) -> None:
    """A tenth is 20 dB; the sixteenth and the eighth of a run fall on its first validation."""
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines/learning_curve.tsv").write_text(
        "step\tcrystals\tseconds\tval_amplitude\tval_loss\n"
        "10\t160\t1\t0.1\t7\n20\t320\t2\t0.05\t6\n30\t480\t3\t0.02\t5\n40\t640\t4\t0.01\t4\n"
    )
    assert curves(tmp_path)[-2] == "| lines | 20.0 (160) | 20.0 (160) | 20.0 (160) | 26.0 (320) | 40.0 (640) |"


def test_a_folder_without_trainings_has_no_section(tmp_path: Path) -> None:
    """Rather than an empty table."""
    assert curves(tmp_path) == []
