"""How the commands `inphase` and `inphase-train` list their own commands in their help; only these load it."""

from typing import Any, Final

from typer.core import TyperGroup

_WHOLE: Final = 1000  # characters; the first sentence of no help is as long


class Listing(TyperGroup):
    """A group whose help tells of each command what it does in a whole sentence, on as many lines as that takes.

    Without it the sentence ends with the line, wherever that is.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for command in self.commands.values():
            command.short_help = command.get_short_help_str(limit=_WHOLE)
