"""service.cli.listing: what a newcomer sees first."""

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from service.cli import app

MAIN = typer.main.get_group(app)
GROUPS = {"": MAIN} | {name: group for name, group in MAIN.commands.items() if isinstance(group, TyperGroup)}


@pytest.mark.parametrize("name", GROUPS)
def test_a_list_of_commands_is_in_whole_sentences(name: str) -> None:
    """On a terminal of 80 columns, none of them ends in the middle."""
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}).output
    _, _, listed = shown.partition("\nCommands:\n")
    told = " ".join(listed.split())
    assert "..." not in told
    for command in GROUPS[name].commands.values():
        assert command.help
        sentence = " ".join(command.help.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".")
        assert f"{command.name} {sentence}" in told
