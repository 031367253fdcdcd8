"""The tables of a result document as rows of text cells, and as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from edgeface.bench.reproduction.plan import KINDS
from edgeface.bench.reproduction.results import COMPARISON, difference
from edgeface.bench.reproduction.speed import threads_of
from edgeface.bench.settings import CPU

UNKNOWN = "-"


def heading(table: dict[str, Any]) -> str:
    """The title of a table: data, recipe, and what --set changed in every row."""
    changed = f" with {', '.join(table['overrides'])}" if table["overrides"] else ""
    return f"{table['table'].replace('-', ', ', 1).capitalize()} on {table['data']}, recipe {table['recipe']}{changed}"


def cells(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(head, rows) of a table as text."""
    return _comparison(table) if table["table"] == COMPARISON else _ablation(table)


def remarks(table: dict[str, Any]) -> list[str]:
    """What must be known to read a table: sizes of splits, spread, gaps, what is missing or was adopted."""
    lines = []
    counts = _counts(table)
    if counts:
        lines.append(
            f"Accuracies are top-1: {counts}. +- is the standard deviation over seeds, where there are several."
        )
    if any(row["reference"]["val"] for row in _begun(table)):
        lines.append(
            "Reference: a 2018 system on 2,360 CelebA identities at 224 px; other data, so compare order and gaps."
        )
    if any(row["name"] == "2.0-plain" for row in _begun(table)):
        lines.append("The reference's 71.28 % of the plain 2.0 was first measured on another, larger network.")
    for gap in table["gaps"]:
        spread = ""
        if gap["over_spread"] is not None:
            spread = f", {gap['over_spread']:.1f} times its standard error {gap['standard_error']:.2f}"
        name = f"{gap['network']} {'int8-qat' if gap['kind'] == 'int8' else 'float32'}"
        lines.append(f"{name}: teacher-student minus plain {gap['points']:+.2f} points on validation{spread}.")
    if any(row["taught"] and (row["figures"]["float32_val"] or {}).get("std") is not None for row in table["rows"]):
        lines.append(
            "Taught seeds share one teacher and its stored views, so their spread, and every standard error from it, "
            "is understated."
        )
    if table["table"] != COMPARISON:
        lines.append(
            "Against all: difference of the means on validation, points. Rows have as many epochs; the steps are those "
            "of finished runs."
        )
        lines += _chance(table)
    lines += [same_training(names, table["recipe"]) for names in table["alike"]]
    lines += _about_runs(table)
    if table["speed"]:
        if "cpu" in table["speed"]["machine"]:
            lines.append(f"Speed was measured on {table['speed']['machine']['cpu']}, {table['speed']['date']}.")
        lines += [f"Speed, {warning}" for warning in table["speed"]["warnings"]]
    return lines


def _about_runs(table: dict[str, Any]) -> list[str]:
    """Runs that are not what their row says, or not yet."""
    runs = [(f"{row['name']}, seed {run['seed']}", run) for row in table["rows"] for run in row["runs"]]
    new = [name for name, run in runs if run["state"] == "new"]
    lines = [f"Not begun: {'; '.join(new)}."] if new else []
    for name, run in runs:
        if run["state"] == "cut short":
            lines.append(f"{name}: cut short after {run['epochs']} epochs.")
        if run["differences"]:
            lines.append(f"{name} was adopted: {'; '.join(run['differences'])}.")
    other = [name for name, run in runs if run["left_out"]]
    if other:
        lines.append(
            f"int8 left out, its bundle was not trained for the {table['qat_epochs']} epochs of --qat-epochs (plan as "
            f"many seeds to train it again): {'; '.join(other)}."
        )
    untrained = [name for name, run in runs if _kept_first(run)]
    if untrained:
        lines.append(
            f"int8-qat is the state before int8 training, no epoch of which was better: {'; '.join(untrained)}."
        )
    return lines


def _kept_first(run: dict[str, Any]) -> bool:
    """Whether no epoch of int8 training was kept, so that the bundle is one of calibration alone."""
    chain = ((run["score"] or {}).get("int8") or {}).get("chain", {})
    return chain.get("source", {}).get("quantization", {}).get("kept_epoch") == 0


def same_training(names: Sequence[str], recipe: str) -> str:
    """What to say of rows that share their runs."""
    return (
        f"{', '.join(names)}: recipe {recipe} trains them alike, so they are one run and say nothing of what they "
        "differ in: the recipe has that as it is, or in a stage without epochs (--set stage2.epochs=N gives it some)."
    )


def speed_cells(table: dict[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """(head, rows): fps of every bundle on every simulated device, with band and kind. None where there is none."""
    devices = list(dict.fromkeys(row["device"] for row in _speeds(table) if row["device"] != CPU))
    if not devices:
        return None
    rows = []
    for title, mode, speeds in _bundles(table):
        by_device = {row["device"]: row for row in speeds}
        rows.append([title, mode, *(_estimate(by_device.get(device)) for device in devices)])
    return ["network", "type", *devices], rows


def simulated_title(table: dict[str, Any]) -> str:
    """What stands over the speeds on simulated devices."""
    return _with_threads("Simulated devices, frames a second", [row for row in _speeds(table) if row["device"] != CPU])


def markdown(document: dict[str, Any]) -> str:
    """The document as Markdown."""
    parts = []
    for table in document["tables"]:
        parts += [f"## {heading(table)}", _markdown(*cells(table))]
        speeds = speed_cells(table)
        if speeds is not None:
            parts += [
                f"{simulated_title(table)} (error band; c: calibrated, v: compiler):",
                _markdown(*speeds),
            ]
        parts.append("\n".join(f"- {line}" for line in remarks(table)))
    machine = document["machine"]
    versions = [f"{name} {version}" for name, version in document["versions"].items()]
    parts.append("; ".join([f"{machine['cpu']}, {machine['cores']} cores", *versions, document["date"]]))
    return "\n\n".join(part for part in parts if part) + "\n"


def percent(figure: dict[str, Any] | None) -> str:
    """A summary as per cent, with its spread."""
    if figure is None:
        return UNKNOWN
    spread = "" if figure["std"] is None else f" +- {100 * figure['std']:.2f}"
    return f"{100 * figure['mean']:.2f}{spread}"


def _comparison(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    measured = [row for row in _speeds(table) if row["device"] == CPU]
    head = [
        "network",
        "type",
        "MB",
        "parameters",
        "MMACs",
        "val %",
        "test %",
        _with_threads("fps", measured),
        _with_threads("fps batch", measured),
        "seeds",
        "reference val %",
    ]
    rows = []
    for row in _begun(table):
        for kind in KINDS if row["int8_mode"] else KINDS[:1]:
            speed = _cpu(row["speed"][kind])
            val = row["figures"][f"{kind}_val"]
            rows.append(
                [
                    row["title"],
                    type_name(row, kind),
                    _number(row["bytes"][kind], 1e6, 2),
                    UNKNOWN if row["parameters"] is None else f"{row['parameters']:,}",
                    _number(row["macs"], 1e6, 0),
                    percent(val),
                    percent(row["figures"][f"{kind}_test"]),
                    _number(speed.get("fps"), 1, 1),
                    _number(speed.get("batch_fps"), 1, 1),
                    str(val["n"]) if val else "0",
                    _number(row["reference"]["val"], 0.01, 2) if kind == "float32" else UNKNOWN,
                ]
            )
    return head, rows


def _ablation(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    head = ["row", "group", "steps", "val %", "against all", "test %", "seeds", "reference val %", "changes"]
    base = next((row["figures"]["float32_val"] for row in table["rows"] if row["name"] == "all"), None)
    rows = []
    for row in _begun(table):
        val = row["figures"]["float32_val"]
        gap = difference(val, base)
        steps = sorted({run["steps"] for run in row["runs"] if run["state"] == "finished"})
        rows.append(
            [
                row["title"],
                row["group"],
                " / ".join(map(str, steps)) or UNKNOWN,
                percent(val),
                UNKNOWN if gap is None or row["name"] == "all" else f"{gap['points']:+.2f}",
                percent(row["figures"]["float32_test"]),
                str(val["n"]) if val else "0",
                _number(row["reference"]["val"], 0.01, 2),
                ("taught; " if row["taught"] else "") + (_changes(row) or "the recipe as it is"),
            ]
        )
    return head, rows


def _begun(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that some run was begun for; all of them before any. The others are named in the remarks."""
    return [row for row in table["rows"] if any(run["state"] != "new" for run in row["runs"])] or table["rows"]


def _changes(row: dict[str, Any]) -> str:
    """Overrides in short: those made in every stage are named once."""
    short = dict.fromkeys(text.split(".", 1)[1] if text.startswith("stage") else text for text in row["overrides"])
    return ", ".join(short)


def type_name(row: dict[str, Any], kind: str) -> str:
    """float32, int8-qat, or int8-ptq for what was quantized after training."""
    if kind == "float32":
        return kind
    return "int8-ptq" if row["int8_mode"] == "int8" else "int8-qat"


def _bundles(table: dict[str, Any]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    return [
        (row["title"], type_name(row, kind), row["speed"][kind])
        for row in table["rows"]
        for kind in KINDS
        if row["speed"][kind]
    ]


def _speeds(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for _, _, speeds in _bundles(table) for row in speeds]


def _with_threads(words: str, speeds: Sequence[dict[str, Any]]) -> str:
    """`words` and the number of threads, where any of these speeds was measured."""
    return ", ".join(filter(None, (words, threads_of(speeds))))


def _cpu(speeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return next((row for row in speeds if row["device"] == CPU), {})


def _estimate(row: dict[str, Any] | None) -> str:
    """An estimate never stands without its band."""
    if row is None:
        return UNKNOWN
    if row["fps"] is None or row["fps_band"] is None:
        return row["reason"] or UNKNOWN
    low, high = row["fps_band"]
    mark = {"calibrated-estimate": " c", "compiler-estimate": " v"}.get(row["kind"], "")
    fps, low, high = (f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}" for rate in (row["fps"], low, high))
    return f"{fps} ({low}-{high}){mark}"


def _counts(table: dict[str, Any]) -> str:
    return ", ".join(f"{count} images of {split}" for split, count in _images(table).items())


def _images(table: dict[str, Any]) -> dict[str, int]:
    """How many images of each labelled split the runs were scored on; nothing before the first score."""
    scores = [(run["score"] or {}).get("float32") for row in table["rows"] for run in row["runs"]]
    score: dict[str, Any] = next(filter(None, scores), {})
    return {split: score[split]["images"] for split in ("val", "test") if score.get(split)}


def _chance(table: dict[str, Any]) -> list[str]:
    """How far an accuracy is known from so many images: sqrt(p (1 - p) / n) of the rows' median p; none before any."""
    accuracies = [row["figures"]["float32_val"]["mean"] for row in table["rows"] if row["figures"]["float32_val"]]
    images = _images(table).get("val")
    if not accuracies or not images:
        return []
    # At half an image from 0 or 1, where the formula would give no error at all.
    typical = min(max(statistics.median(accuracies), 0.5 / images), 1 - 0.5 / images)
    error = 100 * math.sqrt(typical * (1 - typical) / images)
    return [
        f"On {images:,} images an accuracy of {100 * typical:.1f} % has a standard error of {error:.2f} points; with "
        f"one seed, differences of less than about {2 * error:.1f} points say nothing."
    ]


def _number(value: float | None, unit: float, digits: int) -> str:
    return UNKNOWN if value is None else f"{value / unit:,.{digits}f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
