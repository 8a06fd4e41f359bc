"""`inphase bridge`, as far as it comes without a detector; tests/system/test_service.py has the streams."""

import sys

import pytest

NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("source", [("dectris", "tcp://127.0.0.1:9"), ("pva", "13SIM1:Pva1:Image")])
def test_a_service_that_is_not_there_is_told(inphase, source: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    """At once, with the exit code of every command: the detector is not to blame."""
    code, _, err = inphase("bridge", *source, "--url", NOBODY)
    assert code == 3
    assert "the service at http://127.0.0.1:9 cannot be reached" in err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--panda", "tcp://127.0.0.1:9"), "--panda, --motor, --first and --step belong together"),
        (("--step", "0.1"), "--panda, --motor, --first and --step belong together"),
        (("--panda", "tcp://x:9", "--motor", "th", "--first", "0", "--step", "0"), "a step is not 0"),
        (("--dark", "nowhere.tif"), "nowhere.tif: no such file"),
    ],
)
def test_options_that_do_not_go_together_are_told(inphase, options: tuple[str, ...], reason: str) -> None:  # type: ignore[no-untyped-def]
    """Before anybody is asked."""
    code, _, err = inphase("bridge", "dectris", "tcp://127.0.0.1:9", "--url", NOBODY, *options)
    assert code == 1
    assert reason in err


OPTICS = ("--energy", "8.8", "--distance", "2", "--pixel", "75e-6")
STAGE = ("--rows", "Y", "--columns", "X")


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        ("pva", STAGE, "--rows and --columns, --energy, --distance and --pixel belong together"),
        ("pva", ("--rows", "Y", *OPTICS), "--rows and --columns, --energy, --distance and --pixel belong together"),
        ("pva", OPTICS, "those of a ptychographic scan"),
        ("dectris", ("--scale", "1e-6"), "those of a ptychographic scan"),
        ("dectris", ("--unit", "um"), "those of a ptychographic scan"),
        ("pva", (*STAGE, *OPTICS, "--unit", "micron"), "pixel, m, mm, um or nm, not 'micron'"),
        ("pva", (*STAGE, *OPTICS[:4]), "belong together"),
        ("pva", (*STAGE, *OPTICS, "--scale", "0"), "a scale is"),
        ("pva", (*STAGE, "--energy", "8800", *OPTICS[2:]), "Is the unit right"),
        ("pva", (*STAGE, *OPTICS, "--motor", "th", "--grid", "64"), "--motor, --grid: no option of a ptychographic"),
        ("dectris", (*STAGE, *OPTICS), "a PandA box tells the positions"),
    ],
)
def test_a_ptychographic_scan_has_options_of_its_own(  # type: ignore[no-untyped-def]
    inphase, source: str, options: tuple[str, ...], reason: str
) -> None:
    """What lacks, or is of rocking curves alone, is told before anybody is asked."""
    code, _, err = inphase("bridge", source, "tcp://127.0.0.1:9", "--url", NOBODY, *options)
    assert code == 1
    assert reason in err


def test_the_axis_of_an_ioc_is_an_attribute(inphase) -> None:  # type: ignore[no-untyped-def]
    """Which the images have, with no box beside."""
    code, _, err = inphase("bridge", "pva", "13SIM1:Pva1:Image", "--motor", "th", "--step", "1", "--url", NOBODY)
    assert code == 1
    assert "--motor, --first and --step belong together" in err


@pytest.mark.parametrize(
    ("package", "source"), [("zmq", ("dectris", "tcp://127.0.0.1:9")), ("p4p", ("pva", "13SIM1:Pva1:Image"))]
)
def test_what_is_missing_for_bridges_is_named(
    inphase,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    source: tuple[str, str],
) -> None:
    """With the command that installs it."""
    for name in [name for name in sys.modules if name.startswith(("inphase.bridges.", f"{package}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = inphase("bridge", *source, "--url", NOBODY)
    assert code == 1
    assert f"a bridge needs {package}: pip install 'inphase[bridges]'" in err
