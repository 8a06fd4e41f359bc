"""`inphase models`."""

import json
from pathlib import Path

from tests.toy import crystal, write_model


def test_models(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The table and the JSON list what is installed and what was refused."""
    code, out, _ = inphase("models")
    assert code == 0
    assert "inphase-bcdi" in out
    assert "blind" in out
    write_model(tmp_path / "m", crystal(), name="good")
    (write_model(tmp_path / "m", crystal(), name="bad") / "card.yaml").unlink()
    code, out, err = inphase("models", "--models-dir", tmp_path / "m", "--json")
    listed = json.loads(out)
    assert [card["name"] for card in listed["models"]] == ["good"]
    assert listed["refused"][0]["folder"] == "bad/1"
    code, _, err = inphase("models", "--models-dir", tmp_path / "m")
    assert "no card.yaml" in err


def test_versions_are_added_activated_and_removed(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Each command says what it did and what may be done next, and refuses with the reason."""
    root = ("--models-dir", tmp_path / "m")
    write_model(tmp_path / "m", crystal(), name="good")
    coming = write_model(tmp_path / "export", crystal(), name="good", version=2)
    code, out, _ = inphase("models", "add", coming, *root)
    assert (code, "inphase models activate good@2" in " ".join(out.split())) == (0, True)
    code, out, _ = inphase("models", "activate", "good@2", *root)
    assert (code, "good@2 is active" in out) == (0, True)
    assert json.loads(inphase("models", "--json", *root)[1])["active"] == ["good@2"]
    code, _, err = inphase("models", "remove", "good@2", *root)
    assert (code, "is active" in err) == (1, True)
    assert inphase("models", "remove", "good@1", *root)[0] == 0
    code, _, err = inphase("models", "add", coming, *root)
    assert (code, "already" in err) == (1, True)
