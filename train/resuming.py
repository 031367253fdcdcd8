"""Going on with a run: what it began with, and the check that it is asked to go on with the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeface.errors import RunError
from edgeface.files import text_sha256

SHAPE = ("width", "blocks", "widths")
"""Arguments of a network that say how wide and deep it is."""


def begun_with(out: Path, role: str) -> dict[str, Any]:
    """The network, width, teacher, seed and strategy that the run in `out` began with, as fields of a training request.

    Empty when there is no run. Raises RunError when its run.json cannot be read.
    """
    if not (out / "run.json").exists():
        return {}
    try:
        begun = _read(out)
        _check_role(out, str(begun["network"]), role)
        fields: dict[str, Any] = {"seed": int(begun["seed"]), "strategy": str(begun.get("strategy", "auto"))}
        if role == "teacher":
            return fields
        teacher = begun["teacher"]
        if begun["network"] == "squeezenext_23v5":
            fields["width"] = float(begun["build"]["width"])
        return {**fields, "network": str(begun["network"]), "teacher": Path(teacher["run"]) if teacher else None}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(out, error) from None


def resumed_info(out: Path, info: dict[str, Any], *, pruned: bool) -> dict[str, Any]:
    """What the run in `out` said of itself when it began, `info` being what a new one would say.

    `pruned` says that pruning goes on with it. Raises RunError when it is now asked to go on with something else.
    """
    try:
        begun = _read(out)
        if begun.get("files", {}).get("recipe.toml") not in (None, text_sha256(out / "recipe.toml")):
            raise RunError(
                f"{out / 'recipe.toml'}: was edited or cut short since the run began; put the original back, or train "
                f"in another --out, from the best weights so far with --init {out}"
            )
        # A pruned run's channels are its own: no option names them.
        shape = {name: begun["build"][name] for name in SHAPE[1:] if name in begun["build"]}
        same = {
            "--network or --width": (begun["network"], begun["build"]) == (info["network"], {**info["build"], **shape}),
            "DATA": begun["dataset"]["hash"] == info["dataset"]["hash"],
            "set of usable photos in DATA": begun["dataset"]["hash"] != info["dataset"]["hash"]
            or begun["dataset"].get("photos") in (None, info["dataset"].get("photos")),  # runs of before have none
            "--seed": begun["seed"] == info["seed"],
            "--teacher": (begun["teacher"] or {}).get("weights_sha256")
            == (info["teacher"] or {}).get("weights_sha256"),
        }
        sparse = "sparsity" in begun
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(out, error) from None
    changed = [name for name, holds in same.items() if not holds]
    if changed:
        raise RunError(f"{out}: was started with another {' and '.join(changed)}; resume it with the same")
    if sparse and not pruned:
        raise RunError(f"{out}: its weights are sparse and must stay so; go on with the 'edgeface prune' that began it")
    return begun


def _check_role(out: Path, network: str, role: str) -> None:
    """Refuse to go on with a student as a teacher, or with a teacher as a student."""
    own = "teacher" if network == "inception_resnet_v1" else "student"
    if own != role:
        raise RunError(f"{out}: is a {own}, {network}; go on with it by 'edgeface train {own}'")


def _read(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


def _unreadable(out: Path, error: Exception) -> RunError:
    return RunError(f"{out / 'run.json'}: cannot be read ({error!r}); start the run again without --resume")
