"""The documentation names what exists."""

import re
from pathlib import Path

import pytest

from inphase.formats import READERS
from inphase.formats.beamline import builtin
from inphase.formats.beamline import parsed as described
from inphase.formats.result import KEYS
from inphase.formats.writers import WRITERS
from inphase.retrieval.recipe import PRESETS
from inphase.retrieval.terms import CLAUSES, OPERATIONS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file or folder of the repository."""
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if "://" not in target and not (page.parent / target).exists()]


def test_settings_are_documented() -> None:
    """Every setting of the service stands in the reference, under the name that sets it."""
    from service.settings import Bounds, Settings

    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    names = [f"INPHASE_{name.upper()}" for name in Settings.model_fields if name != "bounds"]
    names += [f"INPHASE_BOUNDS__{name.upper()}" for name in Bounds.model_fields]
    assert re.findall(r"^\| `(INPHASE_\w+)`", text, re.MULTILINE) == names


def test_formats_are_documented() -> None:
    """Every suffix that is read or written, and every array of the result file, stands in the reference."""
    text = (ROOT / "docs/reference/formats.md").read_text(encoding="utf-8")
    assert not [word for word in (*READERS, *WRITERS, *KEYS) if f"`{word}`" not in text]


def test_recipes_are_documented() -> None:
    """Every operation, every clause with each of its keys, and every preset stands in the reference."""
    text = (ROOT / "docs/reference/recipes.md").read_text(encoding="utf-8")
    words = [*OPERATIONS, *PRESETS]
    for clause in CLAUSES.values():
        words += [f"{clause.name}(...)", *clause.parameters()]
    assert not [word for word in words if f"`{word}`" not in text]


def test_beamlines_are_documented() -> None:
    """Every built-in beamline stands in the how-to, and its example is a valid description."""
    page = (ROOT / "docs/how-to/new-beamline.md").read_text(encoding="utf-8")
    assert not [beamline.name for beamline in builtin().values() if f"`{beamline.name}`" not in page]
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert described(example, "example").name == "mine"
