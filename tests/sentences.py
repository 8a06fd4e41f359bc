"""Help texts that a newcomer can read."""

import re

from typer.core import TyperCommand

_SENTENCE = re.compile(r"[A-Z`].*[\w)'`](\.|\. \[default: .*\]| \[default: .*\]\.)", re.DOTALL)


def fragments(command: TyperCommand) -> dict[str | None, str | None]:
    """The texts of a command and its parameters that are no sentences, by the parameter's name (None: the command)."""
    texts = {parameter.name: getattr(parameter, "help", None) for parameter in command.params} | {None: command.help}
    return {name: text for name, text in texts.items() if not (text and _SENTENCE.fullmatch(text.strip()))}
