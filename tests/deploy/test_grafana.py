"""The dashboard is what Grafana of the version that comes up with the service takes; no Grafana runs here."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.known import DEPLOY, ROOT
from tests.deploy.monitoring import DASHBOARDS

TYPES = Path(__file__).with_name("dashboard.ts")
PACKAGES = ROOT / "page/node_modules"
OPTIONS = {
    "noEmit": True,
    "strict": True,
    "skipLibCheck": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "types": [],
}
WITHOUT = pytest.mark.skipif(
    not (PACKAGES / "@grafana/schema").is_dir(),
    reason="Grafana's types are not installed: `make page` does, where there are node and npm",
)


def test_dashboards_are_whole() -> None:
    """Of the source that is provisioned; every panel has a title, says what it is, and lies beside the others."""
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert DASHBOARDS
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            assert panel["title"]
            assert panel["description"]
            assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
            at = panel["gridPos"]
            cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def complaints(board: str, folder: Path) -> list[str]:
    """What TypeScript says where a dashboard, as the text of its file, is no `Board` of dashboard.ts."""
    (folder / "node_modules").symlink_to(PACKAGES, target_is_directory=True)
    (folder / TYPES.name).write_text(TYPES.read_text())
    (folder / "board.ts").write_text(
        f'import type {{ Board }} from "./dashboard";\nexport default {board} satisfies Board;\n'
    )
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "files": ["board.ts"]}))
    done = subprocess.run([PACKAGES / ".bin/tsc", "--project", folder], capture_output=True, text=True, timeout=60)
    return [line for line in done.stdout.splitlines() if not line.startswith(" ")]


@WITHOUT
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_one_to_grafana(path: Path, tmp_path: Path) -> None:
    """Every field and every word is one of the types that Grafana publishes."""
    assert complaints(path.read_text().strip(), tmp_path) == []


@WITHOUT
@pytest.mark.parametrize(
    ("right", "wrong"),
    [('"graphMode": "area"', '"graphMode": "aria"'), ('"fillOpacity"', '"fill"'), ('"expr"', '"expression"')],
)
def test_a_wrong_word_is_told(right: str, wrong: str, tmp_path: Path) -> None:
    """A value, a field of a panel and one of a query that Grafana would pass over in silence."""
    board = DASHBOARDS[0].read_text().strip()
    assert right in board
    (first, *_) = complaints(board.replace(right, wrong, 1), tmp_path)
    assert wrong.rpartition(" ")[2].strip('"') in first


def test_the_types_are_those_of_the_version_that_runs() -> None:
    """Compose and Kubernetes start the Grafana whose types the dashboard is held against."""
    packages = json.loads((ROOT / "page/package.json").read_text())["devDependencies"]
    for path in (ROOT / "docker-compose.yml", DEPLOY / "grafana/kubernetes.yaml"):
        assert re.findall(r"grafana/grafana:([\d.]+)", path.read_text()) == [packages["@grafana/schema"]]
