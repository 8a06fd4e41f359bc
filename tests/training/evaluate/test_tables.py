"""training.evaluate.tables: Markdown that a renderer reads as it was meant."""

from training.evaluate.tables import number, table


def test_a_bar_within_a_cell_does_not_end_it() -> None:
    """As many cells in every row as there are columns, by the bars that are not escaped."""
    lines = table(["recipe", "chi2"], [["20*ER | SW()", "0.1"]])
    assert lines == ["| recipe | chi2 |", "|---|---|", "| 20*ER \\| SW() | 0.1 |", ""]


def test_numbers_have_three_digits() -> None:
    """Whatever their size; what there is not is a dash."""
    assert [number(value) for value in (0.0123456, 1234.5, 0.0, None)] == ["0.0123", "1.23e+03", "0", "-"]
