"""Fits that take seconds, and what lightning says of them."""

from typing import Any

import pytest

from training.settings import FitSettings, from_dict

SMALL: dict[str, Any] = {
    "network": {"frame": 32, "patch": 8, "widths": [8, 8, 16], "correction_widths": [8, 8]},
    "frame": [32, 32, 32],
    "box": [16, 16, 16],
    "batch": 2,
    "validation_crystals": 2,
    "validation_every": 2,
}

# lightning tells of what is meant here: no workers beside the trainer, an epoch without end
FILTERS = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*ended before the epoch ended"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]


def small(**changes: Any) -> FitSettings:
    """A cascade for frames of 32^3, with these changes."""
    return from_dict(SMALL | changes)
