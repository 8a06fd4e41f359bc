"""`inphase completion`: the shell completes commands and options."""

from typing import Annotated, Final, Literal

import typer

from service.cli.terminal import out

VARIABLE: Final = "_INPHASE_COMPLETE"  # in which the script asks

commands = typer.Typer()


@commands.command(epilog="Example: inphase completion bash > ~/.local/share/bash-completion/completions/inphase")
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The script is for this shell.")],
) -> None:
    """Print the script that makes a shell complete the commands and options of inphase."""
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name="inphase", complete_var=VARIABLE, shell=shell)
    out.print(script, markup=False)


def prepare() -> None:
    """Let the shells ask: typer knows none of them by itself where it adds no options of its own."""
    from typer._completion_classes import completion_init

    completion_init()
