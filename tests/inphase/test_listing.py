"""inphase.listing: what a newcomer sees first, of both commands."""

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

import service.cli
import training.cli

MAIN = typer.main.get_group(service.cli.app)
GROUPS = (
    {"inphase": (service.cli.app, MAIN, "")}
    | {
        f"inphase {name}": (service.cli.app, group, name)
        for name, group in MAIN.commands.items()
        if isinstance(group, TyperGroup)
    }
    | {"inphase-train": (training.cli.app, typer.main.get_group(training.cli.app), "")}
)


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("of", GROUPS)
def test_a_list_of_commands_is_in_whole_sentences(of: str, columns: int) -> None:
    """On a narrow terminal and on one of 80 columns, none of them ends in the middle."""
    app, group, name = GROUPS[of]
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": str(columns)}).output
    _, _, listed = shown.partition("\nCommands:\n")
    told = "".join(listed.split())  # as lines may end at a hyphen
    assert "..." not in told
    for command in group.commands.values():
        assert command.help
        sentence = " ".join(command.help.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".")
        assert f"{command.name}{''.join(sentence.split())}" in told
