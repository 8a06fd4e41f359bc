"""Adding, activating and removing versions."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import yaml

from inphase.models.installation import activate, add, placing, remove, vacant
from inphase.models.repository import ModelError, Repository, UnknownModelError
from tests.toy import crystal, write_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a@1 and b@1."""
    for name in "ab":
        write_model(tmp_path / "models", crystal(), name=name)
    return tmp_path / "models"


@pytest.fixture
def coming(tmp_path: Path) -> Path:
    """A folder with a@2."""
    return write_model(tmp_path / "export", crystal(), name="a", version=2).rename(tmp_path / "anywhere")


def labels(root: Path) -> list[str]:
    """What there is; active ones with a star."""
    found = Repository(root, "a")
    assert found.refused == []
    versions = [version for name in found.names() for version in found.versions(name)]
    return [f"{version.label}{'*' if found.is_active(version) else ''}" for version in versions]


def test_what_is_added_waits_to_be_activated(root: Path, coming: Path) -> None:
    """And an earlier version is activated again in the same way."""
    assert add(root, coming).label == "a@2"
    assert labels(root) == ["a@1*", "a@2", "b@1*"]
    activate(root, "a@2")
    assert labels(root) == ["a@1", "a@2*", "b@1*"]
    activate(root, "a@1")
    assert labels(root) == ["a@1*", "a@2", "b@1*"]


def test_the_first_version_of_a_name_is_active(tmp_path: Path, coming: Path) -> None:
    """Also in a repository that is made for it."""
    (tmp_path / "new").mkdir()
    add(tmp_path / "new", coming)
    assert labels(tmp_path / "new") == ["a@2*"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 1}, "a@1 is in .* already"),
        ({"sha256": "0" * 64}, "the file was changed"),
        ({"inputs": ["modulus"]}, "its card says"),
        ({"licence": None}, "licence"),
        (None, "no card.yaml: a model without a card is refused"),
    ],
)
def test_what_is_not_acceptable_is_not_added(
    root: Path, coming: Path, change: dict[str, object] | None, words: str
) -> None:
    """The reason is told, and nothing is left in the repository."""
    card = coming / "card.yaml"
    if change is None:
        card.unlink()
    else:
        card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | change))
    before = sorted(root.rglob("*"))
    with pytest.raises(ModelError, match=words):
        add(root, coming)
    assert sorted(root.rglob("*")) == before


def test_a_version_that_does_not_run_is_not_activated(root: Path, coming: Path) -> None:
    """Nor one that is not there, or is not named."""
    add(root, coming)
    (root / "a" / "2" / "card.yaml").write_text(
        yaml.safe_dump(yaml.safe_load((coming / "card.yaml").read_text()) | {"inputs": ["modulus"]})
    )
    with pytest.raises(ModelError, match="its card says"):
        activate(root, "a@2")
    for reference, words in (("a@3", "versions: 1, 2"), ("c@1", "known: a, b"), ("a", "names no version")):
        with pytest.raises(UnknownModelError, match=words):
            activate(root, reference)
    assert labels(root) == ["a@1*", "a@2", "b@1*"]


def test_what_is_used_is_not_removed(root: Path, coming: Path) -> None:
    """The active one of several, and the last one of the default; others go with all that they have."""
    add(root, coming)
    with pytest.raises(ModelError, match="activate a@2 first"):
        remove(root, "a@1")
    remove(root, "a@2")
    for keep in ("a", "a@1"):
        with pytest.raises(ModelError, match="is the default model"):
            remove(root, "a@1", keep)
    assert labels(root) == ["a@1*", "b@1*"]
    remove(root, "a@1", "b")
    assert labels(root) == ["b@1*"]
    assert [name.name for name in root.iterdir() if name.name.startswith(".")] == []


def test_a_repository_that_cannot_be_written_is_named(coming: Path) -> None:
    """With what to do."""
    with pytest.raises(ModelError, match=r"/proc/nowhere cannot be changed here \(No such file or directory\)"):
        add(Path("/proc/nowhere"), coming)


def test_a_version_that_is_being_written_is_not_there_yet(root: Path) -> None:
    """Whoever reads the repository meanwhile finds neither a version nor a folder that it refuses."""
    files = write_model(root.parent / "export", crystal(), name="c")
    target = vacant(root, "c", 1)
    with placing(target) as folder:
        shutil.copyfile(files / "model.onnx", folder / "model.onnx")
        assert labels(root) == ["a@1*", "b@1*"]
        shutil.copyfile(files / "card.yaml", folder / "card.yaml")
        assert labels(root) == ["a@1*", "b@1*"]
    assert labels(root) == ["a@1*", "b@1*", "c@1*"]
    assert target.stat().st_mode & 0o777 == 0o755  # a service of another user reads it


def test_a_full_disk_leaves_nothing_of_a_version(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its files nor a folder of its name."""
    before = sorted(root.rglob("*"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("inphase.models.installation.os.fsync", full)  # where a disk may say it first
    with (
        pytest.raises(ModelError, match=r"cannot be changed here \(No space left on device\)"),
        placing(vacant(root, "c", 1)) as folder,
    ):
        (folder / "model.onnx").write_bytes(b"graph")
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("name", ["a.b", "../a", "-a", "", "a" * 65])
def test_a_name_that_no_repository_would_serve_is_refused(root: Path, name: str) -> None:
    """Before anything is made for it."""
    with pytest.raises(ModelError, match="is no name of a model"):
        vacant(root, name, 1)
