"""The documentation names what exists, and what exists stands in the documentation."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import msgspec
import numpy as np
import pytest

import inphase
from inphase.features import FEATURES
from inphase.formats import READERS
from inphase.formats.beamline import builtin
from inphase.formats.beamline import parsed as described
from inphase.formats.result import KEYS
from inphase.formats.writers import WRITERS
from inphase.imaging.arrays import ARRAYS
from inphase.imaging.options import Options
from inphase.imaging.report import Report
from inphase.models.card import Card
from inphase.pattern import Domain
from inphase.preprocess import Corrections, pattern_from_array, preprocess
from inphase.preprocess.recipe import PRESETS as PREPROCESSING
from inphase.retrieval.recipe import PRESETS
from inphase.retrieval.terms import CLAUSES, OPERATIONS
from tests.toy import counts

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
RESULTS = sorted((ROOT / "benchmarks/results").rglob("*.md"))
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
SOURCES = [
    path
    for package in ("inphase", "service", "training", "benchmarks", "examples", "tests")
    for path in (ROOT / package).rglob("*.py")
]


def page(name: str) -> str:
    """The text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str) -> Iterator[list[str]]:
    """The cells of every row of every table of a page."""
    for line in page(name).splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def codes(cell: str) -> list[str]:
    """What a cell has in code letters."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("path", [*PAGES, *RESULTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link of a page names a file or folder of the repository, and a heading that the page has."""
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]+))?\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        found = path.parent / target if target else path
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_found_from_the_index() -> None:
    """Following links from docs/index.md leads to every page; folders that it links stand for all in them."""
    index = ROOT / "docs/index.md"
    targets = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", index.read_text())}
    lost = [path for path in PAGES if path != index and not {path, path.parent} & targets]
    assert lost == []


def test_pages_that_the_sources_name_exist() -> None:
    """A comment that sends its reader to docs/ sends to a page, or to the number of a decision."""
    named = {
        (path.name, target)
        for path in SOURCES
        for target in re.findall(r"docs/(?:decisions/\d{4}|[\w/-]+\.md)", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not [(source, target) for source, target in sorted(named) if not [*ROOT.glob(f"{target}*")]]


def test_readme_fits_one_screen() -> None:
    """About 700 words."""
    assert len(page("README.md").split()) <= 750


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decisions_have_one_form(path: Path) -> None:
    """A title with the number of the file; context, decision, consequences in this order; half a page."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.name[:4]}. ")
    parts = re.findall(r"^(Context|Decision|Consequences)\.", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequences"]
    assert len(text.split()) <= 400


def test_settings_are_documented() -> None:
    """Every setting of the service stands in the reference, under the name that sets it and with its description."""
    from service.settings import Bounds, Settings

    names = [f"INPHASE_{name.upper()}" for name in Settings.model_fields if name != "bounds"]
    names += [f"INPHASE_BOUNDS__{name.upper()}" for name in Bounds.model_fields]
    assert re.findall(r"^\| `(INPHASE_\w+)`", page("docs/reference/settings.md"), re.MULTILINE) == names
    told = [row[2] for row in rows("docs/reference/settings.md") if row[0].startswith("`INPHASE_")]
    fields = [field for name, field in Settings.model_fields.items() if name != "bounds"]
    assert told == [field.description for field in (*fields, *Bounds.model_fields.values())]


def test_formats_are_documented() -> None:
    """Every suffix that is read or written, and every array of the result file, stands in the reference."""
    text = page("docs/reference/formats.md")
    assert not [word for word in (*READERS, *WRITERS, *KEYS) if f"`{word}`" not in text]


def test_result_arrays_are_documented() -> None:
    """The table of the result's arrays has the names and the types of the code, and no others but the document."""
    section = page("docs/reference/formats.md").partition("### The result's arrays (npz)")[2].partition("\n### ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    table = {name: cells[1].split()[0] for cells in lines for name in codes(cells[0])}
    assert table == {array.name: array.dtype for array in ARRAYS} | {"document": "text"}


def test_errors_are_documented() -> None:
    """Every type of problem that the service answers with stands in the reference, under the status that it has."""
    from service.errors import _KINDS

    table = {urn: row[1] for row in rows("docs/reference/errors.md") for urn in codes(row[0]) if urn.startswith("urn:")}
    named = {kind.name: str(kind.status) for _, kind in _KINDS}
    named |= {"store": "404"}  # and 500 where arrays are damaged, which the page says below the table
    source = ast.parse((ROOT / "service/errors.py").read_text())
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call) and ast.unparse(node.func) == "problem"]
    literal = {
        call.args[2].value: str(call.args[1].value)
        for call in calls
        if isinstance(call.args[1], ast.Constant) and isinstance(call.args[2], ast.Constant)
    }
    assert {"invalid", "memory", "internal"} <= literal.keys()
    phrases = {
        HTTPStatus(status).phrase.lower().replace(" ", "-"): str(status) for status in {*statuses(), 404, 405}
    }  # fmt: skip
    expected = {f"urn:inphase:error:{name}": status for name, status in (named | literal | phrases).items()}
    assert expected.items() <= table.items()
    # beyond that there are only the statuses of HTTP, which Python calls differently from 3.13 on
    http = {status.phrase.lower().replace(" ", "-") for status in HTTPStatus}
    older = {"request-entity-too-large", "unprocessable-entity", "content-too-large", "unprocessable-content"}
    assert {urn.rpartition(":")[2] for urn in table.keys() - expected.keys()} <= http | older


def statuses() -> set[int]:
    """The statuses of all ApiErrors in the service."""
    found = set()
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "ApiError":
                (status, *_) = node.args
                assert isinstance(status, ast.Constant), f"{path}: the status is no number"
                found.add(status.value)
    return found


def test_cards_are_documented() -> None:
    """The table of a card's keys has those of the type; every input and every family stands on the page."""
    text = page("docs/reference/models.md")
    cards = Card.__args__
    keys = {field.encode_name for card in cards for field in msgspec.structs.fields(card)} | {"family"}
    section = text.partition("## The card")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == keys
    inputs = text.partition("## Inputs")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", inputs, re.MULTILINE) == list(FEATURES)
    assert not [tag for card in cards if f"`{(tag := card.__struct_config__.tag)}`" not in text]


def test_models_that_are_shipped_are_documented() -> None:
    """Every folder of models/."""
    names = [path.name for path in sorted((ROOT / "models").iterdir()) if path.is_dir()]
    assert names
    assert not [name for name in names if f"| `{name}` |" not in page("docs/reference/models.md")]


def test_preprocessing_is_documented() -> None:
    """Every step and every number that it reports stands in the table, which has no others; every preset, too."""
    table: dict[str, set[str]] = {}
    steps = [row for row in rows("docs/reference/preprocessing.md") if len(row) == 3][1:]  # below the head
    name = ""
    for row in steps:
        name = next(iter(codes(row[0])), name)
        table.setdefault(name, set()).update(codes(row[1]))
    everything = dataclasses.replace(PREPROCESSING["auto"], saturation=1e9)
    maps = Corrections(np.zeros((64, 64)), np.ones((64, 64)))
    prepared = preprocess(pattern_from_array(counts(), Domain.COUNTS), everything, corrections=maps)
    assert not [step.name for step in prepared.steps if not set(step.numbers) <= table.get(step.name, set())]
    told_by = [*(ROOT / "inphase/preprocess").glob("*.py"), ROOT / "inphase/formats/region.py"]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in told_by]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    said = {node.value for node in nodes if isinstance(node, ast.Constant)}
    reports = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "StepReport"]
    assert {report.args[0].value for report in reports if isinstance(report.args[0], ast.Constant)} == table.keys()
    reported = {number for step in prepared.steps for number in step.numbers}
    assert not [number for numbers in table.values() for number in numbers - said - reported]
    assert not [preset for preset in PREPROCESSING if f"| `{preset}` |" not in page("docs/reference/preprocessing.md")]


def test_python_is_documented() -> None:
    """Every argument of `inphase.reconstruct`, every part of the report."""
    text = page("docs/reference/python.md")
    arguments = inspect.signature(inphase.reconstruct).parameters
    section = text.partition("## `inphase.reconstruct`")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == set(arguments)
    assert {field.name for field in dataclasses.fields(Options)} <= set(arguments)
    parts = [field.name for field in dataclasses.fields(Report)]
    assert not [f"inphase.{name}" for name in inphase.__all__ if name not in text]
    assert not [name for name in parts if f"`{name}`" not in text]


def test_the_client_is_documented() -> None:
    """Every public method, and every error with the statuses that become it."""
    from inphase import client
    from inphase.client.errors import error_of

    text = page("docs/reference/client.md")
    methods = [name for name, _ in inspect.getmembers(client.Client, inspect.isfunction) if name[0] != "_"]
    assert not [name for name in methods if f"`{name}(" not in text]
    told = {codes(row[0])[0]: row[1] for row in rows("docs/reference/client.md") if row[0].endswith("Error`")}
    errors = {name for name in client.__all__ if name.endswith("Error")} - {"ServiceError"}
    assert told.keys() == errors
    for name, statuses in told.items():
        for status in statuses.split(", "):
            assert status == "0" or type(error_of(int(status), {}, b"")).__name__ == name


def test_recipes_are_documented() -> None:
    """Every operation, every clause with each of its keys, and every preset stands in the reference."""
    words = [*OPERATIONS, *PRESETS]
    for clause in CLAUSES.values():
        words += [f"{clause.name}(...)", *clause.parameters()]
    assert not [word for word in words if f"`{word}`" not in page("docs/reference/recipes.md")]


def test_beamlines_are_documented() -> None:
    """Every built-in beamline stands in the how-to, and its example is a valid description."""
    text = page("docs/how-to/new-beamline.md")
    assert not [beamline.name for beamline in builtin().values() if f"`{beamline.name}`" not in text]
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert described(example, "example").name == "mine"


def test_messages_in_troubleshooting_are_said() -> None:
    """Every message that the page quotes is in the sources, as far as it is quoted."""
    said = " ".join(
        node.value
        for path in SOURCES
        if path.parts[len(ROOT.parts)] in ("inphase", "service")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    quoted = re.findall(r'^(?:\| |\* )"([^"]+)"', page("docs/troubleshooting.md"), re.MULTILINE)
    assert len(quoted) > 15
    assert not [message for message in quoted if not all(part in said for part in message.split(" ... "))]
