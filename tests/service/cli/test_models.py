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
