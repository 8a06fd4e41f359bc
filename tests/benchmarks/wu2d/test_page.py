"""benchmarks.wu2d.page: what it says of given figures."""

from benchmarks.wu2d.page import differences, neighbours_section, quality_table, verdict, ways_section


def test_the_sections_hold_the_figures() -> None:
    """The power law is fitted to the table, the repeats are a mean and a deviation, the paper stands beside ours."""
    search = {"curve": [[1000, 0.04], [4000, 0.02]], "ms_per_pattern": 3.0}
    text = " ".join(neighbours_section(search))
    assert "power -0.500" in text
    assert f"{0.04 * 150**-0.5:.3f}" in text
    ways = [
        {"(i)": {"begin": 0.5, "final": [0.1, 0.3]}, "(ii)": {"begin": 0.3, "final": [0.3]}},
        {"(i)": {"begin": 0.7, "final": [0.4, 0.4]}, "(ii)": {"begin": 0.1, "final": [0.1]}},
    ]
    section = ways_section([{"pattern": i, "ways": way} for i, way in enumerate(ways)])
    assert "| (i) | 4 | 0.6 | 0.3 +- 0.07 | 1 of 2 |" in section
    assert "| (ii) | 2 | 0.2 | 0.2 +- 0.07 | 1 of 2 |" in section
    assert (
        "the four means lie 0.1 apart, within two standard errors (0.1): an order of the results is not shown."
        in " ".join(section)
    )
    figures = dict.fromkeys(("modulus", "modulus_median", "amplitude", "phase", "phase_median"), 0.5)
    rows = quality_table({"clean": figures, "as trained": figures}, figures)
    assert "| the paper | 0.019 | - | 0.005 | 0.029 | - |" in rows


def test_a_missed_aim_is_said_in_words() -> None:
    """Met at the aim itself, missed above it; the twin and the optimiser are those of the run."""
    text = verdict({"modulus": 0.02, "amplitude": 0.0306, "phase": 0.01}, 0.52)
    assert "Of 4 aims 2 are met" in text
    assert "chi2 of the modulus meets its aim (0.02, at most 0.02 was wanted)" in text
    assert "chi2 of the amplitude misses its aim (0.0306, at most 0.005 was wanted)" in text
    assert "nearest neighbour's misses its aim (0.52, at most 0.4 was wanted)" in text
    settings = {"objective_options": {"twin": "either"}, "optimizer": "adam", "schedule": "cosine"}
    assert "comes nearer to (`either`)" in differences(settings)
    assert "Adam with the schedule `cosine`" in differences(settings)
