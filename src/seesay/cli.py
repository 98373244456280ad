"""The command line: each command parses, calls and prints.

Heavy parts are imported inside the commands, so that `seesay --help` and mistakes answer at once.
"""

from __future__ import annotations

import io
import re
import sys
from typing import Annotated, Any, NoReturn

import typer

from seesay import __version__
from seesay.commands import asking, classifying, describing, naming, scoring, tagging, training
from seesay.errors import SeesayError

app = typer.Typer(
    name="seesay",
    help="Turn pictures into words: train compact captioners on your own pictures, score them, put them to work.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)


_UsageError: Any = typer.BadParameter.__base__  # of the click that typer uses, its own or the package
STOPPED = {  # what Ctrl-C leaves behind; train and features, which know what there is, say it themselves
    "demo": "what was done so far is kept; run the same command again and it goes on",
}


def main() -> None:
    """The entry point: whatever a person can mend is one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a path must not stop the work
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="seesay", standalone_mode=False)
    except SeesayError as fault:
        _refuse(str(fault))
    except _UsageError as fault:
        if type(fault).__name__ == "NoArgsIsHelpError":
            fault.show()
            sys.exit(2)
        _refuse(_misused(fault))
    except (OSError, MemoryError, RuntimeError) as fault:
        if isinstance(fault, RuntimeError) and not re.search(r"out of memory|(allocate|enough) memory", str(fault)):
            raise  # a fault of ours
        _refuse(_lacking(fault))
    if code == 130:  # what typer makes of Ctrl-C
        done = STOPPED.get(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
        print(f"stopped; {done}" if done else "stopped", file=sys.stderr)
    sys.exit(code)


def _refuse(line: str) -> NoReturn:
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(2)


def _misused(fault: Any) -> str:
    """A usage error of click's in one line."""
    command = fault.ctx.command_path if fault.ctx else "seesay"
    return f"{fault.format_message().rstrip('.')}; '{command} --help' lists what is expected."


def _lacking(fault: Exception) -> str:
    """One line for what the machine refuses: a file, the disk, memory."""
    if isinstance(fault, OSError):
        where = fault.filename or "seesay"
        return f"{where}: received '{fault.strerror or fault}'; expected to read or write it; check path and disk."
    reason = str(fault).strip().partition("\n")[0][:100] or "no room left"
    return f"memory: {reason}; expected enough of it; take a smaller --beam, model or batch."


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


for command in (
    training.features,
    training.train,
    describing.evaluate,
    describing.caption,
    asking.ask,
    naming.concepts,
    tagging.tag,
    classifying.classify,
    describing.report,
    scoring.score,
    training.demo,
    training.import_weights,
):
    app.command()(command)
