"""One line a minute for one cause."""

import logging

from service.repeats import Repeats


class Told(logging.Handler):
    """Keeps the lines that pass."""

    def __init__(self, repeats: Repeats) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.addFilter(repeats)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def heard(clock: list[float]) -> tuple[logging.Logger, Told]:
    """A logger of its own, whose clock is set by hand."""
    told = Told(Repeats(lambda: clock[0]))
    logger = logging.Logger("test")
    logger.addHandler(told)
    return logger, told


def test_one_cause_is_one_line_a_minute() -> None:
    """Whatever job it was, and whatever number it came with; the next line says how many there were."""
    clock = [0.0]
    logger, told = heard(clock)
    for second in range(452):
        clock[0] = second * 60 / 452
        logger.warning("job %032x: no checkpoint: %s", second, OSError(28, "No space left on device"))
    assert len(told.lines) == 1
    clock[0] = 61.0
    logger.warning("job %032x: no checkpoint: %s", 7, OSError(28, "No space left on device"))
    assert told.lines[1].endswith("(and 451 more like it since the last time)")


def test_another_cause_is_another_line() -> None:
    """Another text, another exception."""
    logger, told = heard([0.0])
    for error in (OSError(28, "No space left on device"), OSError(5, "Input/output error"), OSError(5, "no, this")):
        for _ in range(3):
            try:
                raise error
            except OSError:
                logger.exception("the write failed")
    logger.error("something else")
    assert len(told.lines) == 4


def test_what_is_no_warning_always_passes() -> None:
    """One line for each request."""
    logger, told = heard([0.0])
    for _ in range(5):
        logger.info("request")
    assert len(told.lines) == 5


def test_lines_of_structlog() -> None:
    """Their message is a dictionary; who asked does not make a cause."""
    clock = [0.0]
    logger, told = heard(clock)
    for number in range(3):
        logger.warning({"event": "housekeeping failed", "error": "Input/output error", "request_id": f"r{number}"})
    clock[0] = 100.0
    logger.warning({"event": "housekeeping failed", "error": "Input/output error"})
    assert len(told.lines) == 2
    assert "'more_since': 2" in told.lines[1]
