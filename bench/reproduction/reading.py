"""The files of a reproduction, read with their shape checked: a damaged one is a RunError that says what to do."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.errors import RunError

ANSWERS = ("labels", "predicted", "flat", "identity", "split")
Kind = type | tuple[type, ...]


def read_object(path: Path, needed: Mapping[str, Kind], mend: str) -> dict[str, Any] | None:
    """A JSON object that has at least the fields `needed`, of these types; None when there is no file.

    Raises RunError, with `mend` as what to do, when it is damaged.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); {mend}") from None
    check_fields(path, table, needed, mend)
    return table


def check_fields(path: Path, table: Any, needed: Mapping[str, Kind], mend: str) -> None:
    """Raise RunError unless a part of the file at `path` is an object with the fields `needed`, of these types."""
    if not isinstance(table, dict):
        raise RunError(f"{path}: is damaged (no object where one belongs); {mend}")
    wrong = [name for name, kind in needed.items() if name not in table or not isinstance(table[name], kind)]
    if wrong:
        raise RunError(f"{path}: is damaged ({', '.join(wrong)}); {mend}")


def read_answers(path: Path) -> dict[str, np.ndarray] | None:
    """What `score.keep_answers` wrote, by name; None when there is no file. Raises RunError when it is damaged."""
    try:
        with np.load(path) as answers:
            return {name: answers[name] for name in ANSWERS}
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, TypeError) as error:
        raise RunError(f"{path}: is damaged ({error}); remove it and run 'edgeface reproduce' again") from None
