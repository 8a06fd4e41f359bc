"""benchmarks.wu2d.page: what it says of given figures."""

import numpy as np
import pytest

from benchmarks.wu2d.page import (
    PAPER_SHOWN,
    budgets_section,
    differences,
    neighbours_section,
    quality_table,
    ratio,
    seeds_section,
    times_section,
    verdict,
    ways_section,
    with_served,
)


def test_the_sections_hold_the_figures() -> None:
    """The power law is fitted to the table, the paper stands beside ours."""
    search = {"curve": [[1000, 0.04], [4000, 0.02]], "ms_per_pattern": 3.0}
    text = " ".join(neighbours_section(search))
    assert "power -0.500" in text
    assert f"{0.04 * 150**-0.5:.3f}" in text
    figures = dict.fromkeys(("modulus", "modulus_median", "amplitude", "phase", "phase_median"), 0.5)
    rows = quality_table({"clean": figures, "as trained": figures}, figures)
    assert "| the paper | 0.019 | - | 0.005 | 0.029 | - |" in rows


def way(begin: float, at_20: float, at_220: float, at_420: float, final: list[float]) -> dict[str, object]:
    """Of one pattern, with an HIO iterate in between that is no result."""
    mean = [begin, at_20, 9.0, at_220, at_420]
    return {"iterations": [0, 20, 40, 220, 420], "mean": mean, "begin": begin, "final": final}


def test_starts_are_compared_pattern_by_pattern() -> None:
    """Patterns differ by far more than starts do; an order is said where each pattern has the same one."""
    scales = (1.0, 10.0, 100.0, 1000.0)
    found = [
        {
            "(ii) support": way(4 * s, 2 * s, 2 * s, s * 3 ** (-1) ** i, [s, 3 * s]),
            "(iii) ours": way(s, s, s, s, [4 * s]),
        }
        for i, s in enumerate(scales)
    ]
    section = ways_section(found)
    assert "| (ii) support | 8 | 1.11e+03 | 556 | 556 | 160 | 556 |" in section
    assert "| (ii) support | 4 (4 to 4) | 2 (2 to 2) | 2 (2 to 2) | 1 (0.333 to 3) | 0.5 (0.5 to 0.5) |" in section
    text = " ".join(section)
    assert "before: worse are (ii); after 20: worse are (ii)" in text
    assert "after 420: no order is shown; after 600: better are (ii)." in text


def test_an_interval_of_ratios_is_that_of_a_mean_of_logarithms() -> None:
    """For many patterns it is the normal one: mean of the logarithms, 1.96 standard errors on either side."""
    logs = np.random.default_rng(1).normal(0.3, 0.5, 400)
    middle, low, high = ratio(np.exp(logs), np.ones(400))
    error = 1.96 * logs.std() / 20
    assert middle == pytest.approx(np.exp(logs.mean()))
    # the quantiles of 10,000 drawings are known to about 2 % of a standard error
    assert np.log([low, high]) == pytest.approx([logs.mean() - error, logs.mean() + error], abs=0.1 * error)


def test_a_missed_aim_is_said_in_words() -> None:
    """Met at the aim itself, missed above it, by the mean over seeds; twin and optimiser are named."""
    one = {"modulus": 0.02, "amplitude": 0.0306, "phase": 0.01, "scaled": 0.052}
    text = verdict([one], 0.1)
    assert "Of 4 aims 2 are met, by the means of one seed" in text
    assert "chi2 of the modulus meets its aim (0.02, at most 0.02 was wanted)" in text
    assert "chi2 of the amplitude misses its aim (0.0306, at most 0.005 was wanted)" in text
    assert "nearest neighbour's misses its aim (0.52, at most 0.4 was wanted)" in text
    assert "modulus misses its aim (0.03, at most" in verdict([one, one | {"modulus": 0.04}], 0.1)
    settings = {"objective_options": {"twin": "either"}, "optimizer": "adam", "schedule": "cosine"}
    assert "comes nearer to (`either`)" in differences(settings)
    assert "Adam with the schedule `cosine`" in differences(settings)


def test_seeds_have_a_mean_and_a_deviation() -> None:
    """The deviation is that of one seed: divided by one less than their number."""
    seeds = [{"seed": i, "seen": 1000, "modulus": m, "amplitude": 0.25, "phase": 0.5} for i, m in enumerate((1, 2, 3))]
    assert "| mean |  | 2 +- 1 | 0.25 +- 0 | 0.5 +- 0 |" in seeds_section(seeds)


def test_the_run_of_the_served_network_counts_once() -> None:
    """It is given for its learning curve, and its averages were normalised anew: its figures differ a little."""
    served = {"seed": 1, "seen": 1000, "modulus": 0.0179}
    own, other = served | {"modulus": 0.0181}, served | {"seed": 2, "modulus": 0.02}
    longer = own | {"seen": 2000}
    assert with_served(served, [own, other, longer]) == [served, other, longer]


def test_the_budget_of_the_paper_is_guessed_along_a_power() -> None:
    """Errors that halve where the budget is four times as large go on so; two budgets are no line."""
    runs = [{"seen": n, **dict.fromkeys(("modulus", "amplitude", "phase"), n**-0.5)} for n in (100, 400, 1600)]
    section = budgets_section(runs)
    guess = f"{PAPER_SHOWN**-0.5:.3g}"
    assert f"| {PAPER_SHOWN:,}, guessed |  | {guess} | {guess} | {guess} |" in section
    assert "| power of the number |  | -0.50 | -0.50 | -0.50 |" in section
    assert "Fewer than three budgets" in " ".join(budgets_section(runs[:2]))


def test_the_speed_stands_beside_its_aim() -> None:
    """Two cores make twice what one thread makes."""
    text = " ".join(times_section({"multiplications": 3e8, "1 on 1": 5.0, "64 on 1": 4.0, "64 on 2": 1.0}))
    assert "is missed: two cores make 500." in text
    assert "300 million multiplications" in text
    assert "75 thousand million a second" in text
