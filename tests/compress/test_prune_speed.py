"""`edgeface prune --speedup`: the share of the MACs that a speed needs, found by measuring."""

from __future__ import annotations

import pytest

from edgeface.bundle import open_bundle
from edgeface.cli.measuring import fps_on
from edgeface.errors import UsageError
from edgeface.recipe import load_recipe
from edgeface.run import open_run
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress import goal
from edgeface.compress.goal import Goal, share_for_speed
from edgeface.compress.prune import Request, prune
from edgeface.models import load_model
from edgeface.train.recipes import recipe_path


def test_a_speed_is_searched_by_measuring(student_run, monkeypatch):
    """A device on which time follows the MACs: 1.6 times as fast is 1/1.6 of them."""
    first = open_run(student_run)
    given = {"align": 4, "stem": "rows", "quiet": True}
    measured = []

    def narrow(share):
        measured.append(share)
        return load_model(first), first.build

    def fps(bundles):
        assert [path.name for path in bundles] == ["first", "pruned"]
        return [10.0, 10.0 / measured[-1]]

    def no_fps(bundles):
        assert [open_bundle(path).mode for path in bundles] == ["int8", "int8"]
        return [10.0, None]

    with pytest.raises(UsageError, match="gives no speed"):
        share_for_speed(1.5, first, first, narrow, fps=no_fps, **given)
    monkeypatch.setattr(goal, "_bundle", lambda run, build, path, stem: path)  # from here on only the answers count
    share, ratio = share_for_speed(1.6, first, first, narrow, fps=fps, **given)
    assert share <= 1 / 1.6 <= share + 0.05
    assert ratio == pytest.approx(1 / share)
    with pytest.raises(UsageError, match="the narrowest network"):
        share_for_speed(99, first, first, narrow, fps=fps, **given)


@pytest.mark.slow
def test_pruned_to_a_speed_by_single_channels(student_run, tmp_path):
    """The narrowest candidates keep a channel or two of a layer, which may give zeros alone until they are trained."""
    short, own = ["stage1.epochs=1", "warmup_steps=0"], load_recipe(student_run / "recipe.toml", "student")
    recipe = load_recipe(recipe_path("prune")[0], "student", short, own)
    request = Request(
        student_run, tmp_path / "fast", recipe, "prune", goal=Goal("speed", 1.2), align=1, rounds=2,
        fps=fps_on("cortex-m7", 1), device="cortex-m7", stem="plain", quiet=True,
    )  # fmt: skip
    figures = prune(request).figures
    assert figures["speedup"] >= 1.2
    assert figures["after"]["macs"] < figures["before"]["macs"]
