"""Recipes: everything that decides how a network is trained, as dataclasses read from TOML.

Each field is documented once, in its metadata; `edgeface recipes --fields` prints that text. A file may hold
the tables `[teacher]` and `[student]`, whose fields (and stages) override the common ones for that role.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from edgeface.errors import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROLES = ("teacher", "student")


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Stage:
    """One stage of training. Each starts from the weights of the one before, with a fresh optimizer."""

    epochs: int = _option(0, "Passes over the training images; 0 leaves the stage out.")
    learning_rate: float = _option(1e-3, "Adam's learning rate at the start of the stage.")
    basic_augmentation: bool = _option(False, "Flip, rotation, scale, brightness, contrast, saturation, hue, gray.")
    seaweed: bool = _option(False, "Blank one or two bands of the image (occlusion).")
    center_loss: float = _option(0.0, "Weight of the center loss (Wen et al. 2016).")
    pre_logit_norm: float = _option(0.0, "Weight of the mean L1 norm of the pre-logits.")
    hard_instance_mining: bool = _option(False, "Samples under 0.7 of the batch's largest cross-entropy count 0.1.")
    triplet: float = _option(0.0, "Weight of the batch-hard triplet loss (Hermans et al. 2017), margin 1.")


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the augmentations. The defaults are the reference system's."""

    flip: float = _option(0.5, "Share of images mirrored left to right.")
    rotation: float = _option(40.0, "Largest rotation, degrees either way.")
    shift: float = _option(0.0, "Largest shift as a share of the side, either way, each axis.")
    scale_share: float = _option(0.6, "Share of images scaled.")
    scale_up: float = _option(1.25, "Largest enlargement (then cropped); half of the scaled images.")
    scale_down: float = _option(0.7, "Smallest reduction (then padded); the other half.")
    brightness: float = _option(32 / 255, "Largest change of brightness, of the full range.")
    saturation: float = _option(0.25, "Saturation is multiplied by 1 +- this.")
    contrast: float = _option(0.25, "Contrast is multiplied by 1 +- this.")
    hue: float = _option(0.05, "Largest turn of the hue, of a full circle.")
    gray: float = _option(0.2, "Share of images made gray.")
    seaweed_share: float = _option(0.7, "Share of images with a blanked band.")
    seaweed_second: float = _option(0.25, "Share of those that get a second band.")


@dataclass(frozen=True)
class Distillation:
    """Teacher-student training (Hinton et al. 2015): weights of its parts."""

    embedding: float = _option(1.0, "Weight of MSE(student's projected pre-logits, teacher's pre-logits).")
    projected_soft_labels: float = _option(1.0, "Weight of soft cross-entropy on logits over the projection.")
    soft_labels: float = _option(0.5, "Weight of soft cross-entropy on the student's own logits.")
    temperature: float = _option(1.0, "Softmax temperature of both soft cross-entropies.")
    views: int = _option(8, "Augmented views per image whose teacher outputs are stored and reused; 0 runs it live.")


@dataclass(frozen=True)
class Recipe:
    """A complete recipe for one network."""

    description: str = _option("", "What the recipe is for, what it costs and what it gives.")
    size: int = _option(96, "Side of the network's input, pixels.")
    batch_size: int = _option(100, "Images a step, over all replicas.")
    images_per_identity: int = _option(
        4, "K of the P x K batches: in stages with the triplet loss (2 or more), or all by balanced_batches."
    )
    balanced_batches: bool = _option(False, "P x K batches in every stage, every identity equally often.")
    dropout: float = _option(0.2, "Dropout on the pre-logits.")
    batch_norm_momentum: float = _option(0.0, "BatchNorm's momentum; 0 sets it by the steps in an epoch.")
    weight_decay: float = _option(0.0, "Decoupled weight decay (AdamW) on kernels.")
    label_smoothing: float = _option(0.0, "Share of the label spread over all identities.")
    average_decay: float = _option(0.0, "Decay of the moving average of the weights that is validated; 0: no average.")
    head: str = _option("softmax", "'softmax', or 'arcface' for the angular margin of Deng et al. 2019.")
    arcface_margin: float = _option(0.5, "arcface: angle added to the right identity's, radians.")
    arcface_scale: float = _option(64.0, "arcface: factor of the cosines.")
    arcface_margin_steps: int = _option(
        5000, "arcface: steps in which the margin grows from 0; with all of it on random weights features collapse."
    )
    schedule: str = _option("exponential", "'exponential' (x decay_rate every decay_steps) or 'cosine' to 0.")
    decay_rate: float = _option(0.9, "Factor of the exponential schedule.")
    decay_steps: int = _option(10_000, "Steps between two decays of the exponential schedule.")
    warmup_steps: int = _option(0, "Steps of linear warm-up at the start of every stage.")
    precision: str = _option("float32", "'float32', or 'bf16' for bfloat16 arithmetic with float32 weights.")
    augmentation: Augmentation = field(default_factory=Augmentation)
    distillation: Distillation = field(default_factory=Distillation)
    stage0: Stage = field(default_factory=Stage)
    stage1: Stage = field(default_factory=Stage)
    stage2: Stage = field(default_factory=Stage)

    @property
    def stages(self) -> tuple[Stage, Stage, Stage]:
        """The three stages in order, those of 0 epochs included."""
        return (self.stage0, self.stage1, self.stage2)

    @property
    def epochs(self) -> int:
        """Epochs over all stages."""
        return sum(stage.epochs for stage in self.stages)


def load_recipe(
    path: Path, role: str, overrides: list[str] | None = None, base: Recipe | None = None, *, trains: bool = True
) -> Recipe:
    """Read a recipe for `role` ('teacher' or 'student') and apply overrides such as 'stage1.epochs=20'.

    What the file leaves out, its stages apart, is as in `base` when that is given. With `trains` False all stages may
    have 0 epochs, as of a run that is the weights it began with. Raises RecipeError, naming the file and the field, for
    unknown fields, wrong types and contradictions.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); see 'edgeface recipes'") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not valid TOML ({error})") from None
    layers = {name: table.pop(name, {}) for name in ROLES}
    for name, layer in layers.items():
        if not isinstance(layer, dict):
            raise RecipeError(f"{path}: '{name}' must be a table of fields, [{name}]")
    _merge(table, layers[role])
    if base is not None:
        inherited = {name: value for name, value in dataclasses.asdict(base).items() if not name.startswith("stage")}
        _merge(inherited, table)
        table = inherited
    for text in overrides or []:
        _override(table, text)
    where = f"{path} with {' '.join(f'--set {text}' for text in overrides)}" if overrides else str(path)
    recipe = _build(Recipe, table, where, "")
    _check(recipe, where, trains)
    return recipe


def explain() -> str:
    """Every field with its default and its meaning."""
    lines = []
    for title, kind in (
        ("recipe", Recipe),
        ("[stage0] [stage1] [stage2]", Stage),
        ("[augmentation]", Augmentation),
        ("[distillation]", Distillation),
    ):
        lines.append(title)
        for item in fields(kind):
            if "help" in item.metadata:
                lines.append(f"  {item.name} = {_toml(item.default)}\n      {item.metadata['help']}")
        lines.append("")
    return "\n".join(lines)


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML, every field written out; `load_recipe` reads it back for either role."""
    top = [f"{name} = {_toml(value)}" for name, value in _items(recipe) if not dataclasses.is_dataclass(value)]
    tables = [
        "\n".join([f"[{name}]"] + [f"{key} = {_toml(item)}" for key, item in _items(value)])
        for name, value in _items(recipe)
        if dataclasses.is_dataclass(value)
    ]
    return "\n\n".join(["\n".join(top), *tables]) + "\n"


def _items(instance: Any) -> list[tuple[str, Any]]:
    return [(f.name, getattr(instance, f.name)) for f in fields(instance)]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's escapes are JSON's, and DEL
    return repr(value)


def _merge(table: dict[str, Any], layer: dict[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _merge(table[key], value)
        else:
            table[key] = value


def _override(table: dict[str, Any], text: str) -> None:
    name, equals, raw = text.partition("=")
    if not equals:
        raise RecipeError(f"--set {text}: write it as field=value, for example stage1.epochs=20")
    try:
        value = tomllib.loads(f"value = {raw.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    *parents, last = name.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {text}: '{parent}' has no fields of its own")
    table[last] = value


def _build(kind: type, table: Any, where: str, prefix: str) -> Any:
    if not isinstance(table, dict):
        raise RecipeError(f"{where}: '{prefix.rstrip('.')}' must be a table of fields")
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in hints:
            known = ", ".join(hints)
            raise RecipeError(f"{where}: unknown field '{prefix}{name}'; known here: {known}")
        wanted = hints[name]
        if isinstance(wanted, type) and dataclasses.is_dataclass(wanted):
            values[name] = _build(wanted, value, where, f"{prefix}{name}.")
        elif wanted is float and type(value) in (int, float):
            values[name] = _finite(value, f"{where}: '{prefix}{name}'")
        elif type(value) is wanted:
            values[name] = value
        else:
            raise RecipeError(f"{where}: '{prefix}{name}' must be {wanted.__name__}, not {value!r}")
    return kind(**values)


def _finite(value: float, what: str) -> float:
    """A number as a float. Raises RecipeError for nan, infinity and what a float cannot hold."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RecipeError(f"{what} must be a finite number")
    return number


def _check(recipe: Recipe, where: str, trains: bool) -> None:
    """Refuse values out of range and stages that contradict the rest of the recipe."""

    def require(holds: bool, message: str) -> None:
        if not holds:
            raise RecipeError(f"{where}: {message}")

    require(32 <= recipe.size <= 512, f"size = {recipe.size} must lie within 32..512")
    require(recipe.batch_size >= 2, "batch_size must be 2 or more")
    require(recipe.images_per_identity >= 1, "images_per_identity must be 1 or more")
    require(
        recipe.batch_size % recipe.images_per_identity == 0,
        f"batch_size {recipe.batch_size} must be a multiple of images_per_identity {recipe.images_per_identity}",
    )
    require(0 <= recipe.dropout < 1, "dropout must lie within 0..1")
    require(0 <= recipe.batch_norm_momentum < 1, "batch_norm_momentum must lie within 0..1")
    require(0 <= recipe.label_smoothing < 1, "label_smoothing must lie within 0..1")
    require(0 <= recipe.average_decay < 1, "average_decay must lie within 0..1, such as 0.999")
    require(recipe.head in ("softmax", "arcface"), "head must be 'softmax' or 'arcface'")
    require(0 <= recipe.arcface_margin < 1.6, "arcface_margin must lie within 0..1.6 radians")
    require(recipe.arcface_scale > 0, "arcface_scale must be above 0")
    require(recipe.arcface_margin_steps >= 0, "arcface_margin_steps must be 0 or more")
    require(recipe.schedule in ("exponential", "cosine"), "schedule must be 'exponential' or 'cosine'")
    require(recipe.precision in ("float32", "bf16"), "precision must be 'float32' or 'bf16'")
    require(
        recipe.decay_steps > 0 and recipe.warmup_steps >= 0, "decay_steps must be above 0 and warmup_steps not negative"
    )
    require(0 < recipe.decay_rate <= 1, "decay_rate must lie within 0..1, such as 0.9")
    require(recipe.weight_decay >= 0, "weight_decay must not be negative")
    require(recipe.epochs > 0 or not trains, "all stages have 0 epochs; give one of them some, e.g. stage1.epochs = 20")
    require(0 <= recipe.augmentation.rotation < 90, "augmentation.rotation must lie within 0..90 degrees")
    require(
        0 < recipe.augmentation.scale_down <= 1 <= recipe.augmentation.scale_up,
        "augmentation.scale_down must lie within 0..1 and augmentation.scale_up be 1 or more",
    )
    for name, value in _items(recipe.augmentation):
        if not name.startswith(("rotation", "scale_up", "scale_down")):
            require(0 <= value <= 1, f"augmentation.{name} must lie within 0..1")
    for name, value in _items(recipe.distillation):
        require(value >= 0, f"distillation.{name} must not be negative")
    require(recipe.distillation.temperature > 0, "distillation.temperature must be above 0")
    for number, stage in enumerate(recipe.stages):
        name = f"stage{number}"
        require(stage.epochs >= 0, f"{name}.epochs must not be negative")
        require(stage.learning_rate > 0, f"{name}.learning_rate must be above 0")
        weights = (stage.center_loss, stage.pre_logit_norm, stage.triplet)
        require(min(weights) >= 0, f"{name}: the weight of a loss must not be negative")
        require(
            not (stage.triplet and stage.epochs) or recipe.images_per_identity >= 2,
            f"{name}.triplet needs P x K batches; set images_per_identity to 2 or more (4 is usual)",
        )
        require(
            not (stage.triplet and stage.epochs) or recipe.batch_size >= 2 * recipe.images_per_identity,
            f"{name}.triplet needs two identities a batch; set batch_size to {2 * recipe.images_per_identity} or more",
        )
