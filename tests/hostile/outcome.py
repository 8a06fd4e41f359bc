"""What became of a case at a door, and what must not become of any."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.hostile.crafted import SECRET_COUNT, TOKEN

LONGEST_S: Final = 10.0  # that anybody may be kept waiting by one file


@dataclass(frozen=True)
class Outcome:
    """kind: one word, to be counted. told: the error, or what is wrong. fault: it must not be so."""

    door: str
    name: str
    kind: str
    told: str = ""
    fault: bool = False

    def __str__(self) -> str:
        return f"{self.door} {self.name}: {self.kind}{f': {self.told}' if self.told else ''}"


def wrong(seconds: float, texts: str, counts: NDArray[np.generic] | None, leads_out: bool) -> str:
    """What must not be, in a word and why; empty where all is well.

    texts: all that was said. counts: what was read, None where nothing was.
    """
    if seconds > LONGEST_S:
        return f"late: after {seconds:.1f} s"
    if TOKEN in texts:
        return "leak: the text of a file outside of the root"
    if "This is a fault of inphase" in texts:
        return f"unforeseen: {texts[:500]}"
    if counts is None:
        return ""
    if leads_out:
        return "leak: it was read, and nothing of it lies below the root"
    if counts.size and np.isclose(counts, SECRET_COUNT, rtol=1e-3).mean() > 0.5:
        return "leak: the counts of a file outside of the root"
    return ""
