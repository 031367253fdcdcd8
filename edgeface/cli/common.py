"""What all commands share: the console, `--json`, and one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.errors import EdgeFaceError, MissingDependencyError, UsageError

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and errors.")]
LastEpochs = Annotated[
    int | None,
    typer.Option(
        help="Epochs of the last round, such as 60, at the rate of recipe longer: accuracy comes back.",
        min=1,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        help="Seed of everything but the stored views of a teacher: they always use seed 0.", min=0, max=2**31 - 1
    ),
]
_ALONE = {"matplotlib": "matplotlib", "numpy": "numpy", "cv2": "opencv-python", "tomli": "tomli"}
"""Modules that come with the base install, or alone: what pip calls them."""


def print_json(value: Any) -> None:
    """Print a result for programs."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def note(message: str, *, quiet: bool = False) -> None:
    """Print a line for people on standard error, so that standard output stays the result."""
    if not quiet:
        sys.stderr.write(message + "\n")


def command_group(about: str, *examples: str) -> typer.Typer:
    """An empty group of commands; `examples` are shown in its help, which `about` begins."""
    lines = "".join(f"\n\n    {example}" for example in examples)
    return typer.Typer(help=f"{about}\n\nExamples:{lines}", no_args_is_help=True)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Turn EdgeFaceError into one or two lines on standard error and its exit code; SIGTERM ends it as Ctrl-C does."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            with _stoppable():
                function(*args, **kwargs)
            sys.stdout.flush()
        except EdgeFaceError as error:
            note(f"error: {error}")
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our output has gone
                raise
            note(f"error: {_file_error(error)}")
            raise typer.Exit(EdgeFaceError.exit_code) from None
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "edgeface":
                raise
            note(str(missing(error.name or "a package")))
            raise typer.Exit(MissingDependencyError.exit_code) from None
        except ImportError as error:
            if (error.name or "").split(".")[0] == "edgeface":
                raise
            note(_broken(error))
            raise typer.Exit(MissingDependencyError.exit_code) from None
        except KeyboardInterrupt:
            note("interrupted")
            raise typer.Exit(130) from None

    return wrapper


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM, which service managers and plain `kill` send, raises KeyboardInterrupt."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one may set a handler
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def require_png(path: Path, what: str) -> None:
    """Raise UsageError unless the file that `what` is written to is called a PNG."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: the {what} is a PNG; name it so")


def missing(package: str) -> str:
    """The message for a package that is not installed: installed alone, or brought by the `train` extra."""
    wanted = _ALONE.get(package.split(".")[0], "'edgeface[train]'")
    return f"error: this command needs {package}; install it with: pip install {wanted}"


def _broken(error: ImportError) -> str:
    """The message for a package that is installed and does not load, most often for want of a system library."""
    package = "OpenCV" if error.name == "cv2" or "libGL" in str(error) else error.name or "a package"
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    return f"error: {package} does not load ({reason}); see what to install with: edgeface doctor"


def _file_error(error: OSError) -> str:
    """What an unforeseen OSError says to a user. Without a file's name it was standard output, or a temporary file."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'the output'}: {reason}; free some space, or write elsewhere"
    if not error.filename:
        return f"{reason}; check where the output goes"
    return f"{error.filename}: {reason}; check the path and its permissions"
