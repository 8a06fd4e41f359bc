"""The command `inphase`, one module a command. Its options bear the API's names."""

import importlib.metadata
import os
import sys
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from inphase.errors import CancelledError, InphaseError
from inphase.listing import Listing
from service.cli import (
    bridge,
    compare,
    completion,
    convert,
    jobs,
    key,
    models,
    orthogonalise,
    ptycho,
    rank,
    reconstruct,
    scan,
    series,
    serve,
    show,
    status,
    strain,
    watch,
    worker,
    workers,
)
from service.cli.terminal import FAILED, INTERRUPTED, UNREACHABLE, USAGE, err, out

app = typer.Typer(
    cls=Listing,
    help="inphase turns a measured coherent diffraction pattern into the complex image of the sample.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    reconstruct,
    ptycho,
    show,
    strain,
    compare,
    rank,
    orthogonalise,
    convert,
    serve,
    worker,
    workers,
    watch,
    status,
    completion,
):
    app.add_typer(module.commands)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"inphase {importlib.metadata.version('inphase')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version is printed.")
    ] = False,
) -> None:
    """Options that stand before any command."""


app.add_typer(jobs.commands, name="jobs")
app.add_typer(series.commands, name="series")
app.add_typer(key.commands, name="key")
app.add_typer(models.commands, name="models")
app.add_typer(scan.commands, name="scan")
app.add_typer(bridge.commands, name="bridge")


def main() -> None:
    """Entry point: every error becomes one clear message and an exit code."""
    from inphase.client import ServiceError

    if completion.VARIABLE in os.environ:
        completion.prepare()
    try:
        app()
    except ServiceError as error:
        _fail(str(error), UNREACHABLE if error.status == 0 else FAILED)
    except CancelledError as error:
        _fail(str(error), INTERRUPTED)
    except InphaseError as error:
        _fail(str(error), FAILED)
    except ValidationError as error:
        _fail("; ".join(f"{'.'.join(map(str, e['loc'])).replace('_', '-')}: {e['msg']}" for e in error.errors()), USAGE)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {error.strerror or error}", FAILED)
    except MemoryError:
        _fail("this machine has no memory left: crop the detector to the region around the peak", FAILED)


def _fail(message: str, code: int) -> NoReturn:
    err.print(f"inphase: {message}", style="bold red", markup=False)
    sys.exit(code)
