"""`inphase watch`, as far as it comes without a service; tests/system/test_service.py has one."""

from pathlib import Path

import numpy as np


def test_a_service_that_is_not_there_is_told(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """At once, with the exit code of every command, and nothing is given up."""
    np.save(tmp_path / "a.npy", np.ones((8, 8, 8), np.uint16))
    code, _, err = inphase("watch", tmp_path, "--url", "http://127.0.0.1:9")
    assert code == 3
    assert "cannot be reached" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy"]


def test_what_is_mistyped_is_told(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Before the service is asked."""
    file = tmp_path / "a.npy"
    np.save(file, np.ones((8, 8, 8), np.uint16))
    url = ("--url", "http://127.0.0.1:9")
    for arguments, reason in (
        ((tmp_path / "nowhere",), "no such file or folder"),
        ((file,), "is no folder"),
        ((tmp_path, "--refine", "3*XYZ"), "XYZ"),
        ((tmp_path, "--ending", ".pdf"), "results are not written as '.pdf'"),
    ):
        code, _, err = inphase("watch", *arguments, *url)
        assert code == 1
        assert reason in err
