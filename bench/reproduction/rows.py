"""The rows of the two tables, as overrides of one recipe.

The ablation takes things out of the recipe and never changes its epochs, so that every row of it has as many steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeface.errors import UsageError

WIDTHS = {"1.0": 1.0, "2.0": 2.0}
NETWORKS = ("teacher", *WIDTHS)
_SWITCHES = {
    "basic": ("basic_augmentation=false",),
    "seaweed": ("seaweed=false",),
    "center": ("center_loss=0.0",),
    "norm": ("pre_logit_norm=0.0",),
    "mining": ("hard_instance_mining=false", "triplet=0.0"),
}
_TEACHER_ABLATION = {
    "nothing": (0.30, None),
    "basic": (0.674, None),
    "basic+seaweed": (0.72, None),
    "basic+center": (0.7575, None),
    "basic+seaweed+center": (0.7811, 0.7911),
    "basic+seaweed+center+norm": (0.8181, 0.8245),
    "all": (0.8891, 0.8559),
}
_DROPPED = {
    "nothing": ("basic", "seaweed", "center", "norm", "mining"),
    "basic": ("seaweed", "center", "norm", "mining"),
    "basic+seaweed": ("center", "norm", "mining"),
    "basic+center": ("seaweed", "norm", "mining"),
    "basic+seaweed+center": ("norm", "mining"),
    "basic+seaweed+center+norm": ("mining",),
    "all": (),
}
# ArcFace's cosines ignore the length of the pre-logits: nothing would resist the losses that shrink it.
_FREE_LENGTH = tuple(f"stage{stage}.{part}=0.0" for stage in range(3) for part in ("center_loss", "pre_logit_norm"))
_HEADS = {
    "arcface": ("head='arcface'", *_FREE_LENGTH),
    "arcface-gentle": ("head='arcface'", "arcface_margin=0.3", "arcface_scale=32.0", *_FREE_LENGTH),
    "arcface-at-once": (
        *("head='arcface'", "arcface_margin=0.3", "arcface_scale=32.0", "arcface_margin_steps=0"),
        *_FREE_LENGTH,
    ),
}
_DISTILLATION = {
    "taught-soft-labels": ("distillation.embedding=0.0",),
    "taught-embedding": ("distillation.soft_labels=0.0", "distillation.projected_soft_labels=0.0"),
    "taught": (),
    "taught-temperature-1": ("distillation.temperature=1.0",),
    "taught-reference-weights": ("distillation.embedding=1.0", "distillation.temperature=1.0"),
}
_TRAINING = {
    "average": ("average_decay=0.999",),
    "smoothing": ("label_smoothing=0.1",),
    "balanced": ("balanced_batches=true",),
    "no-warm-up": ("warmup_steps=0",),
    "exponential": ("schedule='exponential'", "decay_rate=0.9", "decay_steps=10000"),
    "bf16": ("precision='bf16'",),
}


@dataclass(frozen=True)
class Row:
    """One row: which network, taught or plain, and what its recipe overrides. `reference` holds the reference system's
    accuracies (validation, test), 0..1 or None; `group` gathers rows of one question."""

    name: str
    network: str
    group: str
    taught: bool = False
    overrides: tuple[str, ...] = ()
    reference: tuple[float | None, float | None] = (None, None)
    title: str = ""

    @property
    def role(self) -> str:
        """Whose part of a recipe it takes."""
        return "student" if self.network in WIDTHS else "teacher"


def comparison() -> tuple[Row, ...]:
    """Teacher, then each width plain and taught, the wider first, as the reference has them."""
    rows = [
        Row("teacher", "teacher", "networks", reference=(0.8891, 0.8559), title="Inception-ResNet v1 (teacher)"),
        Row("2.0-plain", "2.0", "networks", reference=(0.7128, None), title="2.0-SqNxt-23v5, plain"),
        Row("2.0-taught", "2.0", "networks", True, reference=(0.8598, 0.8248), title="2.0-SqNxt-23v5, teacher-student"),
        Row("1.0-plain", "1.0", "networks", title="1.0-SqNxt-23v5, plain"),
        Row("1.0-taught", "1.0", "networks", True, reference=(0.7842, 0.736), title="1.0-SqNxt-23v5, teacher-student"),
    ]
    return tuple(rows)


def ablation(network: str) -> tuple[Row, ...]:
    """The reference's seven rows for `network`, then heads, training switches and, for students, distillation.

    Raises UsageError for an unknown network.
    """
    if network not in NETWORKS:
        raise UsageError(f"--network {network}: choose one of {', '.join(NETWORKS)}")
    rows = [
        Row(name, network, "reference", overrides=without(*dropped), reference=_reference(network, name))
        for name, dropped in _DROPPED.items()
    ]
    for group, table in (("head", _HEADS), ("training", _TRAINING)):
        rows += [Row(name, network, group, overrides=overrides) for name, overrides in table.items()]
    if network in WIDTHS:
        rows += [Row(name, network, "distillation", True, overrides) for name, overrides in _DISTILLATION.items()]
    return tuple(rows)


def without(*parts: str) -> tuple[str, ...]:
    """The overrides that take `parts` (basic, seaweed, center, norm, mining) out of every stage."""
    return tuple(f"stage{stage}.{setting}" for stage in range(3) for part in parts for setting in _SWITCHES[part])


def chosen(rows: tuple[Row, ...], only: list[str]) -> tuple[Row, ...]:
    """The rows named in `only`, by their own name or their group's; all of them when it is empty.

    Raises UsageError for a name that is neither.
    """
    known = {row.name for row in rows} | {row.group for row in rows}
    for name in only:
        if name not in known:
            groups = dict.fromkeys(row.group for row in rows)
            names = ", ".join(row.name for row in rows)
            raise UsageError(f"--only {name}: no such row; rows are {names}; groups are {', '.join(groups)}")
    return tuple(row for row in rows if not only or row.name in only or row.group in only)


def _reference(network: str, name: str) -> tuple[float | None, float | None]:
    return _TEACHER_ABLATION[name] if network == "teacher" else (None, None)
