"""The model repository: what is accepted, what is refused and why."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from inphase.models.repository import ModelError, Repository, UnknownModelError
from tests.toy import GRID, write_model

OBJECT = np.ones(GRID, np.complex64)


def test_versions_and_the_active_one(tmp_path: Path) -> None:
    """`name` is the newest version, `name@1` the first, no reference the default model."""
    write_model(tmp_path, OBJECT, name="a", version=1)
    write_model(tmp_path, OBJECT, name="a", version=10)
    write_model(tmp_path, OBJECT, name="a", version=9)
    repository = Repository(tmp_path, "a")
    assert repository.resolve(None).label == "a@10"
    assert repository.resolve("a@9").card.version == 9
    assert [version.card.version for version in repository.versions("a")] == [1, 9, 10]


def test_the_file_active_decides_which_version_is_used(tmp_path: Path) -> None:
    """An older one as well; it is asked for by name@version as before."""
    for version in (1, 2):
        write_model(tmp_path, OBJECT, name="a", version=version)
    (tmp_path / "a" / "active").write_text("1\n")
    repository = Repository(tmp_path, "a")
    assert repository.resolve(None).label == "a@1"
    assert repository.resolve("a@2").label == "a@2"
    assert [repository.is_active(version) for version in repository.versions("a")] == [True, False]


@pytest.mark.parametrize("content", ["3", "", "two", "2"])
def test_no_other_version_takes_the_place_of_the_active_one(tmp_path: Path, content: str) -> None:
    """Where it is not there, or was refused: an error that names it, and not another network's answer."""
    write_model(tmp_path, OBJECT, name="a", version=1)
    (write_model(tmp_path, OBJECT, name="a", version=2) / "card.yaml").unlink()
    (tmp_path / "a" / "active").write_text(content)
    repository = Repository(tmp_path, "a")
    assert "a/active" in [refusal.folder for refusal in repository.refused]
    with pytest.raises(ModelError, match=rf"a/active says version '{content}'.*activate a@1"):
        repository.resolve(None)
    assert repository.resolve("a@1").label == "a@1"
    assert not repository.is_active(repository.resolve("a@1"))


def test_files_that_are_the_same_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that has changed is checked, whatever was known of it."""
    for version in (1, 2):
        write_model(tmp_path, OBJECT, name="a", version=version)
    before = Repository(tmp_path, "a")
    (tmp_path / "a" / "2" / "model.onnx").write_bytes(b"another graph")
    monkeypatch.setattr("inphase.models.repository.card_of", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Repository(tmp_path, "a", before)
    monkeypatch.undo()
    again = Repository(tmp_path, "a", before)
    assert again.resolve("a@1") is before.resolve("a@1")
    assert [refusal.folder for refusal in again.refused] == ["a/2"]


@pytest.mark.parametrize("reference", ["b", "a@2", "a@", "a@one", "../a", ""])
def test_unknown_models_are_named_with_what_there_is(tmp_path: Path, reference: str) -> None:
    """The error says what was asked and what is known."""
    write_model(tmp_path, OBJECT, name="a")
    repository = Repository(tmp_path, "a")
    if reference == "":
        assert repository.resolve(reference).label == "a@1"
        return
    with pytest.raises(UnknownModelError, match=r"known: a|versions: 1"):
        repository.resolve(reference)


def refused(root: Path) -> str:
    """Why the only folder is refused."""
    repository = Repository(root, "a")
    assert repository.names() == []
    (refusal,) = repository.refused
    return refusal.why


def test_without_a_card_there_is_no_model(tmp_path: Path) -> None:
    """A model without a card is refused."""
    (write_model(tmp_path, OBJECT, name="a") / "card.yaml").unlink()
    assert "no card.yaml" in refused(tmp_path)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    """One byte more, and the checksum of the card does not fit."""
    with (write_model(tmp_path, OBJECT, name="a") / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert "sha256" in refused(tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"family": "movie"}, "family"),
        ({"grid": [64, 64, 63]}, "even"),
        ({"box": [96, 32, 32]}, "inside the grid"),
        ({"outputs": {"amplitude": [0, 1]}}, "phase"),
        ({"domain": []}, "domain"),
        ({"licence": None}, "licence"),
    ],
)
def test_a_wrong_card_is_refused_with_the_key(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    """What the service cannot honour is said by its key."""
    write_model(tmp_path, OBJECT, name="a", **change)
    assert word in refused(tmp_path)


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    """A folder copied without changing its card is found out."""
    folder = write_model(tmp_path, OBJECT, name="a")
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"version": 2}))
    assert "version 2" in refused(tmp_path)


def test_a_card_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    """A damaged card does no harm to the service."""
    (write_model(tmp_path, OBJECT, name="a") / "card.yaml").write_text("a: [")
    assert "card.yaml is not acceptable" in refused(tmp_path)


def test_an_empty_repository_says_so(tmp_path: Path) -> None:
    """Asking an empty repository is one clear error."""
    with pytest.raises(UnknownModelError, match="no model is installed"):
        Repository(tmp_path, "a").resolve(None)
