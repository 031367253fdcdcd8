"""Which runs a table needs, by what they follow from; and how far each of them is.

    DIR/plans/<table>.json     the rows, and the runs of each
    DIR/recipes/<key>.toml     every run's recipe, all fields written out
    DIR/runs/<key>/            the run
    DIR/bundles/<key>-MODE/    its bundles
    DIR/scores/<key>.json      what they scored; `<key>.npz` their answers

A key names the network, the seed and a digest of recipe, data and teacher, so tables share the runs they have in
common, and a run made elsewhere is adopted by putting its folder at the key's place.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edgeface.bench.document import shown_name
from edgeface.bench.reproduction.recipes import run_key, what_counts
from edgeface.bench.reproduction.rows import WIDTHS, Row
from edgeface.data.dataset import FaceDataset
from edgeface.errors import RecipeError, RunError
from edgeface.files import write_text
from edgeface.recipe import Recipe, load_recipe, to_toml

FORMAT = "edgeface-reproduction-plan"
VERSION = 1
ROW_FIELDS = {*(item.name for item in fields(Row)), "runs"}
KINDS = ("float32", "int8")
"""What each run has a bundle of. An int8 bundle is of mode qat or int8: see `PlannedRun.quantize`."""


@dataclass(frozen=True)
class PlannedRun:
    """One training run. `teacher` is the key of the run that teaches it.

    `quantize` is the mode of its int8 bundle: "qat"; "int8" for the teacher network, which has layers that TFMOT
    cannot train for int8; "" for none.
    """

    key: str
    row: str
    network: str
    seed: int
    teacher: str | None
    quantize: str

    @property
    def width(self) -> float | None:
        """The student's width, None for the teacher network."""
        return WIDTHS.get(self.network)

    @property
    def architecture(self) -> str:
        """What its `run.json` calls the network."""
        return "inception_resnet_v1" if self.width is None else "squeezenext_23v5"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of bundles it is to have."""
        return KINDS if self.quantize else KINDS[:1]


@dataclass(frozen=True)
class Plan:
    """A table's rows and runs. `data` is the dataset's folder on this machine, `data_name` what reports call it;
    `overrides` is what --set changed in every row."""

    table: str
    recipe: str
    data: str
    data_name: str
    data_hash: str
    note: str
    qat_epochs: int
    rows: tuple[dict[str, Any], ...]
    runs: tuple[PlannedRun, ...]
    overrides: tuple[str, ...] = ()

    def run(self, key: str) -> PlannedRun:
        """The run of a key. Raises RunError when this plan has none."""
        for run in self.runs:
            if run.key == key:
                return run
        command = self.table.replace("-", " DATA --network ", 1)
        raise RunError(f"plan {self.table}: has no run {key!r}; see 'edgeface reproduce {command} --plan'")

    def of_rows(self, names: Collection[str]) -> tuple[PlannedRun, ...]:
        """The runs of these rows in the plan's order, and those that teach them."""
        keys = {key for row in self.rows if row["name"] in names for key in row["runs"]}
        keys |= {run.teacher for run in self.runs if run.key in keys}
        return tuple(run for run in self.runs if run.key in keys)

    def alike(self) -> list[list[str]]:
        """The names of rows that share their runs, since this recipe trains them alike."""
        by_run: dict[str, list[str]] = {}
        for row in self.rows:
            by_run.setdefault(row["runs"][0], []).append(row["name"])
        return [names for names in by_run.values() if len(names) > 1]


@dataclass(frozen=True)
class Settings:
    """What the user chose for a table."""

    table: str
    recipe: Path
    recipe_name: str
    overrides: tuple[str, ...] = ()
    seeds: int = 3
    teacher_seeds: int = 1
    quantize: bool = False
    qat_epochs: int = 5
    note: str = ""


def make_plan(settings: Settings, rows: Sequence[Row], dataset: FaceDataset, out: Path) -> Plan:
    """Plan a table and write its runs' recipes into `out`. Every student is taught by the teacher of seed 0.

    Raises RecipeError for a recipe that a row's overrides contradict, or whose students and teacher differ in size.
    """
    data_hash = dataset.content_hash()
    runs: dict[str, PlannedRun] = {}
    described = []
    teacher = _teacher(settings, data_hash, out) if any(row.taught for row in rows) else None
    if teacher is not None:
        runs[teacher.key] = teacher
    recipes = {
        row: load_recipe(settings.recipe, row.role, [*settings.overrides, *row.overrides])
        for row in sorted(rows, key=lambda row: len(row.overrides))
    }
    # Rows that train alike share a run: that of the row which changes least.
    firsts: dict[Any, Row] = {}
    for row, recipe in recipes.items():
        firsts.setdefault((row.network, row.taught, what_counts(recipe, row.taught)), row)
    for row in rows:
        first = firsts[row.network, row.taught, what_counts(recipes[row], row.taught)]
        recipe = recipes[first]
        if teacher is not None and row.taught:
            _check_size(settings, recipe, read_recipe(out, teacher.key))
        keys = []
        for seed in range(settings.teacher_seeds if row.network == "teacher" else settings.seeds):
            taught_by = teacher.key if teacher is not None and row.taught else None
            key = run_key(row.network, recipe, data_hash, seed, taught_by)
            int8 = "" if not settings.quantize else "int8" if row.network == "teacher" else "qat"
            run = PlannedRun(key, first.name, row.network, seed, taught_by, int8)
            runs[key] = run
            write_text(recipe_file(out, key), to_toml(recipe))
            keys.append(key)
        described.append(
            {**asdict(row), "overrides": list(row.overrides), "reference": list(row.reference), "runs": keys}
        )
    return Plan(
        settings.table, settings.recipe_name, str(dataset.root.resolve()), shown_name(dataset.root), data_hash,
        settings.note, settings.qat_epochs, tuple(described), tuple(runs.values()), settings.overrides,
    )  # fmt: skip


def read_plans(out: Path) -> tuple[Plan, ...]:
    """The tables planned in a folder, by name. Raises RunError when there is none or one is damaged."""
    paths = sorted((out / "plans").glob("*.json"))
    if not paths:
        if (out / "results.md").is_file():
            raise RunError(
                f"{out}: holds results without the runs that a report is made from; read {out / 'results.md'}"
            )
        raise RunError(f"{out}: holds no reproduction; make one with 'edgeface reproduce comparison DATA --out {out}'")
    return tuple(read_plan(path) for path in paths)


def bundle_name(run: PlannedRun, kind: str) -> str:
    """The folder's name of a run's bundle, "" for one that it is not to have."""
    mode = kind if kind == "float32" else run.quantize
    return f"{run.key}-{mode}" if mode else ""


def recipe_file(out: Path, key: str) -> Path:
    """Where the recipe of a planned run stands."""
    return out / "recipes" / f"{key}.toml"


def read_recipe(out: Path, key: str) -> Recipe:
    """The recipe of a planned run, all fields resolved."""
    return load_recipe(recipe_file(out, key), "student")


def _teacher(settings: Settings, data_hash: str, out: Path) -> PlannedRun:
    """The run that teaches: the recipe's own teacher, seed 0."""
    recipe = load_recipe(settings.recipe, "teacher", list(settings.overrides))
    key = run_key("teacher", recipe, data_hash, 0, None)
    write_text(recipe_file(out, key), to_toml(recipe))
    return PlannedRun(key, "teacher", "teacher", 0, None, "")


def _check_size(settings: Settings, student: Recipe, teacher: Recipe) -> None:
    if student.size != teacher.size:
        raise RecipeError(
            f"{settings.recipe}: the teacher sees {teacher.size} px and its students {student.size} px; both must get "
            f"the same image: --set size={teacher.size}"
        )


def read_plan(path: Path) -> Plan:
    """One plan. Raises RunError when there is none, or a damaged one."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if (table.pop("format"), table.pop("version")) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        rows, runs, overrides = table.pop("rows"), table.pop("runs"), tuple(table.pop("overrides", ()))
        if not all(isinstance(row, dict) and row.keys() >= ROW_FIELDS for row in rows):
            raise ValueError("a row lacks something")
        return Plan(rows=tuple(rows), runs=tuple(PlannedRun(**run) for run in runs), overrides=overrides, **table)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: is damaged ({error}); run 'edgeface reproduce' again") from None
