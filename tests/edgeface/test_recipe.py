"""Recipes: what is read, what is refused, and in which words."""

from dataclasses import fields, is_dataclass

import pytest

from edgeface.errors import RecipeError
from edgeface.recipe import Augmentation, Distillation, Recipe, Stage, explain, load_recipe, to_toml
from edgeface.train.recipes import recipe_path, shipped_recipes


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_every_shipped_recipe_loads_and_survives_being_written_out(name, role, tmp_path):
    recipe = load_recipe(recipe_path(name)[0], role)
    assert recipe.description
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe))
    assert load_recipe(path, role) == recipe


def test_any_description_survives_being_written_out(tmp_path):
    recipe = Recipe(description='a "tab"\t, back\\slash, \r\n, bell \a, del \x7f, é', stage1=Stage(epochs=1))
    (tmp_path / "again.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(tmp_path / "again.toml", "student") == recipe


def test_the_reference_recipe_has_the_reference_systems_numbers():
    recipe = load_recipe(recipe_path("reference")[0], "teacher")
    assert (recipe.size, recipe.batch_size, recipe.decay_rate, recipe.decay_steps) == (224, 100, 0.9, 10_000)
    assert [stage.learning_rate for stage in recipe.stages] == [1e-3, 1e-3, 5e-5]
    assert (recipe.stage1.center_loss, recipe.stage1.pre_logit_norm) == (1e-5, 1e-5)
    assert (recipe.stage2.center_loss, recipe.stage2.pre_logit_norm) == (1e-4, 1e-4)
    assert recipe.stage2.hard_instance_mining
    assert recipe.stage2.seaweed
    assert not recipe.stage1.seaweed
    assert recipe.augmentation.rotation == 40


def test_role_tables_override_the_common_ones_and_set_overrides_both(write):
    path = write("[stage1]\nepochs = 3\nlearning_rate = 0.1\n[teacher.stage1]\nepochs = 7\n")
    assert load_recipe(path, "teacher").stage1.epochs == 7
    assert load_recipe(path, "student").stage1.epochs == 3
    assert load_recipe(path, "teacher").stage1.learning_rate == 0.1
    assert load_recipe(path, "teacher", ["stage1.epochs=9", "size=112"]).stage1.epochs == 9


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stage1.epoch = 3", "unknown field 'stage1.epoch'"),
        ("colour = 1", "unknown field 'colour'"),
        ("size = 'big'\nstage1.epochs = 1", "'size' must be int"),
        ("stage1.basic_augmentation = 1", "'stage1.basic_augmentation' must be bool"),
        ("stage1 = 3", "'stage1' must be a table"),
        ("teacher = 3", "'teacher' must be a table"),
        ("stage1.epochs = -1\nstage2.epochs = 2", "must not be negative"),
        ("size = 96", "all stages have 0 epochs"),
        ("schedule = 'step'\nstage1.epochs = 1", "schedule must be"),
        ("images_per_identity = 1\nstage2.triplet = 1.0\nstage2.epochs = 1", "P x K"),
        ("images_per_identity = 3\nstage1.epochs = 1", "multiple of images_per_identity"),
        ("size = ", "not valid TOML"),
        ("stage1.epochs = true", "'stage1.epochs' must be int"),
        ("stage1.epochs = 1\nstage1.learning_rate = nan", "learning_rate"),
        ("augmentation.rotation = 95\nstage1.epochs = 1", "rotation"),
        ("head = 'cosface'\nstage1.epochs = 1", "arcface"),
        ("average_decay = 1.0\nstage1.epochs = 1", "average_decay"),
        ("stage1.epochs = 1\nstage1.center_loss = inf", "'stage1.center_loss' must be a finite number"),
        (f"stage1.epochs = 1\ndropout = {'1' * 400}", "'dropout' must be a finite number"),
        ("stage1.epochs = 1\nweight_decay = -1", "weight_decay"),
        ("stage1.epochs = 1\ndecay_rate = 0", "decay_rate"),
        ("stage1.epochs = 1\naugmentation.flip = 2", "augmentation.flip must lie within 0..1"),
        ("stage1.epochs = 1\ndistillation.soft_labels = -1", "distillation.soft_labels must not be negative"),
        ("batch_size = 4\nstage2.triplet = 1.0\nstage2.epochs = 1", "set batch_size to 8 or more"),
    ],
)
def test_a_bad_recipe_is_refused_by_file_and_field(write, text, says):
    path = write(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, "student")
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["stage1.epochs", "size.x=3", "stage9.epochs=2"])
def test_a_bad_override_is_refused(override):
    with pytest.raises(RecipeError):
        load_recipe(recipe_path("cpu")[0], "student", [override])


def test_an_unknown_recipe_name_lists_the_shipped_ones():
    with pytest.raises(RecipeError, match="cpu"):
        recipe_path("nothing-like-it")


def test_every_field_is_explained():
    text = explain()
    for kind in (Recipe, Stage, Augmentation, Distillation):
        for item in fields(kind):
            if not is_dataclass(getattr(kind(), item.name)):
                assert f"  {item.name} = " in text
                assert item.metadata["help"] in text
