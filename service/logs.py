"""The log: one JSON object a line on standard error, the same from the API, the workers and their compute processes.

Every line has `ts`, `level`, `event`, `process` and `pid`; while a request is answered, or a job is at work, also
`request_id`, `job` and `owner`, as far as they are known. What the standard library logs comes in the same form.
"""

import logging
import os
from typing import Any, Literal

import structlog

from service import repeats

Process = Literal["api", "worker", "compute"]

log = structlog.get_logger("inphase")


def configure_logging(process: Process, level: str = "INFO") -> None:
    """From here on whatever this process logs is written so."""

    def place(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {"process": process, "pid": os.getpid(), **event}

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", key="ts"),
        place,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = repeats.handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
