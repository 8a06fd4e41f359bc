"""The options of the command line that say how a measurement is read: those of `inphase.formats.Reading`."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from types import NoneType
from typing import Annotated, Any, Final, get_args, get_type_hints

import typer

from inphase.formats.reading import Reading, parse_numbers

_NUMBERS: Final = "set"  # the field that is many numbers, each an option


def reads(command: Callable[..., None]) -> Callable[..., None]:
    """A command of typer whose parameter `reading` becomes an option for each field of Reading."""

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        told = {part.name: given.pop(part.name) for part in fields(Reading)}
        numbers = parse_numbers(told.pop(_NUMBERS) or ())
        command(**given, reading=Reading(**told, set=numbers))

    signature = inspect.signature(command, eval_str=True)
    parameters = [
        each
        for parameter in signature.parameters.values()
        for each in (_options() if parameter.name == "reading" else [parameter])
    ]
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": None}
    return with_options


def _options() -> Iterator[inspect.Parameter]:
    types = get_type_hints(Reading)
    for part in fields(Reading):
        yield inspect.Parameter(
            part.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(part, types[part.name])
        )


def _annotation(part: Field[Any], kind: Any) -> Any:
    text = part.metadata["description"]
    if part.name == _NUMBERS:
        return Annotated[
            list[str] | None, typer.Option("--set", help=f"{text} Write distance=1.83, and repeat the option for more.")
        ]
    (one,) = (each for each in get_args(kind) if each is not NoneType)
    return Annotated[one | None, typer.Option(f"--{part.name}", help=text, min=part.metadata.get("ge"))]
