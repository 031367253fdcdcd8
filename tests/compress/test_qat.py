"""Fake quantization and fine-tuning: what is simulated is what the device computes, and training does not harm."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edgeface.errors import RunError, UsageError
from edgeface.face_input import FaceInput
from edgeface.interpreter import Interpreter
from edgeface.metrics import cosine_summary, top_k
from edgeface.recipe import Distillation, Recipe, Stage
from edgeface.run import open_run
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

import tf_keras
from tf_keras import layers

from edgeface.compress import qat
from edgeface.compress.audit import audit
from edgeface.compress.export import to_tflite
from edgeface.compress.qat import Lesson, Plan, fine_tune, kept_epoch, training_warnings
from edgeface.compress.qat_model import check_quantizable, fake_quantized, set_kernel_ranges
from edgeface.models import inception_resnet_v1, load_model
from edgeface.train.batches import Images
from edgeface.train.distillation import DistillationHead, fitted_head
from edgeface.train.outputs import make_predictor, outputs_over
from edgeface.train.teacher_cache import TeacherCache

RECIPE = Recipe(batch_size=16, stage1=Stage(epochs=1, basic_augmentation=True))
RANGE = (-1.0, 1.0)


@pytest.fixture(scope="module")
def quantized(student, samples):
    """The student with fake quantization, untrained. Shared: tests that train begin from `start`."""
    return fake_quantized(student, samples, RANGE)


@pytest.fixture
def start(quantized):
    """The same network; its weights are put back afterwards."""
    weights = quantized.get_weights()
    yield quantized
    quantized.set_weights(weights)


@pytest.fixture
def lesson(splits) -> Lesson:
    return Lesson(*splits, FaceInput(40), RECIPE)


def accuracy(model, images) -> float:
    return top_k(outputs_over(make_predictor(model), images, FaceInput(40))["logits"], images.labels)


def variables(model, ending: str) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.weights if weight.name.split(":")[0].endswith(ending)]


def test_ranges_come_from_the_float_network(quantized, student, samples):
    highs = variables(quantized, "_max")
    assert highs
    assert not any(np.any(high == 6.0) for high in highs)  # where TFMOT starts them all
    # Keras numbers the layer when the process has made one before.
    (low,) = (weight for weight in quantized.weights if re.search(r"quantize_layer(_\d+)?_min", weight.name))
    assert low.numpy() == pytest.approx(-128 / 127)
    relu = student.get_layer("stem_relu").output
    largest = tf_keras.Model(student.input, relu)(samples).numpy().reshape(2, -1).max(axis=1).mean()
    high = quantized.get_layer("quant_stem_relu").get_weights()[-1]
    assert high == pytest.approx(largest, rel=1e-4)


def test_a_dense_network_has_no_masks(quantized):
    assert not any("sparsity_mask" in str(vars(layer)) for layer in quantized.layers)


def test_kernel_ranges_follow_the_weights(start):
    layer = start.get_layer("quant_stem")
    named = {weight.name.split("/")[-1]: weight for weight in layer.weights}
    named["kernel:0"].assign(named["kernel:0"] * 3)
    set_kernel_ranges(start)
    np.testing.assert_allclose(named["kernel_max:0"], np.abs(named["kernel:0"].numpy()).max(axis=(0, 1, 2)))


def test_untrained_it_is_close_to_the_float_network(quantized, student, samples):
    expected, simulated = student(samples, training=False), quantized(samples, training=False)
    assert cosine_summary(expected["embedding"].numpy(), simulated["embedding"].numpy())["min"] > 0.98


@pytest.mark.parametrize("io", ["float", "int8"])
def test_converted_it_computes_what_was_simulated(quantized, student, splits, samples, io):
    model = to_tflite(quantized, "qat", io=io)
    found = audit(model)
    assert found.float_operators == ()
    assert found.operators["CONV_2D"] == 1 + sum(type(layer).__name__ == "Conv2D" for layer in student.layers)
    assert found.operators["ADD"] == 2
    assert not set(found.operators) & {"MUL", "SUB", "RSQRT"}
    interpreter = Interpreter(model)
    simulated = quantized(samples, training=False)
    for signature, name in (("classify", "logits"), ("embed", "embedding")):
        tensors = interpreter.signatures[signature]
        raw = interpreter.run(signature, tensors.inputs[0].quantize(samples))[name]
        real = tensors.outputs[0].dequantize(raw)
        assert cosine_summary(simulated[name].numpy(), real)["min"] > 0.995
    classes = np.argmax(simulated["logits"], axis=1)
    raw = interpreter.run("classify", interpreter.signatures["classify"].inputs[0].quantize(samples))["logits"]
    assert np.mean(np.argmax(raw, axis=1) == classes) > 0.95


@pytest.mark.slow
def test_batch_norm_folds_whatever_its_sign(student, samples):
    """A negative gamma turns a kernel's sign, and a small variance makes a large scale."""
    model = tf_keras.models.clone_model(student)
    model.set_weights(student.get_weights())
    layer = model.get_layer("stem_bn")
    gamma, beta, mean, variance = layer.get_weights()
    gamma[::2] *= -1
    variance[:3] /= 30
    layer.set_weights([gamma, beta, mean, variance])
    simulated = fake_quantized(model, samples, RANGE)
    found = to_tflite(simulated, "qat")
    assert audit(found).float_operators == ()
    real = Interpreter(found).run("embed", samples)["embedding"]
    assert cosine_summary(simulated(samples, training=False)["embedding"].numpy(), real)["min"] > 0.99


def test_refuses_layers_that_cannot_learn_int8():
    image = tf_keras.Input((8, 8, 3))
    convolved = layers.Conv2D(4, 3, name="conv")(image)
    prelu = tf_keras.Model(image, layers.PReLU(name="bend")(convolved))
    with pytest.raises(UsageError, match=r"layer bend \(PReLU\).*ReLU"):
        check_quantizable(prelu)
    pooled = layers.MaxPooling2D(name="pool")(convolved)
    loose = tf_keras.Model(image, layers.BatchNormalization(name="loose")(pooled))
    with pytest.raises(UsageError, match=r"layer loose .*must follow a convolution, not pool"):
        check_quantizable(loose)
    with pytest.raises(UsageError, match=r"layer block35_1_scale \(Rescaling\)"):
        check_quantizable(inception_resnet_v1(5, size=80))


def test_training_never_ends_worse_than_it_began(start, lesson, splits):
    begun = accuracy(start, splits[1])
    rows = fine_tune(start, lesson, Plan(epochs=2, learning_rate=1e-3, frozen_share=0.5), quiet=True)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert [row["frozen"] for row in rows] == [False, False, True]
    assert rows[0]["val_accuracy"] == begun
    assert accuracy(start, splits[1]) == max(row["val_accuracy"] for row in rows) >= begun
    assert set(rows[1]) == {"epoch", "frozen", "val_accuracy", "loss", "cross_entropy"}


def test_frozen_epochs_move_only_what_learns(start, lesson, monkeypatch):
    """Statistics and ranges of activations stay; kernels, gamma and beta learn."""
    monkeypatch.setattr(qat, "top_k", lambda logits, labels: 0.5)  # else the begun weights may be the ones it keeps
    before = {name: variables(start, name) for name in ("moving_mean", "output_max", "kernel", "gamma")}
    fine_tune(start, replace(lesson, seed=3), Plan(epochs=1, learning_rate=1e-6, frozen_share=1.0), quiet=True)
    for name, values in before.items():
        same = all(np.array_equal(old, new) for old, new in zip(values, variables(start, name), strict=True))
        assert same == (name in ("moving_mean", "output_max")), name


def test_frozen_epochs_widen_the_ranges_of_kernels_that_grow(start, lesson, monkeypatch):
    calls = []
    monkeypatch.setattr(qat, "_RANGE_STEPS", 3)
    monkeypatch.setattr(qat, "set_kernel_ranges", lambda model: calls.append(model))
    fine_tune(start, lesson, Plan(epochs=2, learning_rate=1e-6, frozen_share=0.5), quiet=True)
    assert len(calls) == 2 + lesson.steps // 3  # after each epoch, and within the frozen one


@pytest.mark.parametrize(
    ("plan", "accuracies", "says"),
    [
        (Plan(epochs=1), [0.5, 0.6], "--frozen 0.4 of --epochs 1 rounds to no epoch"),
        (Plan(epochs=1, frozen_share=0.0), [0.5, 0.6], None),
        (Plan(epochs=2), [0.5, 0.6, 0.6], None),
        (Plan(epochs=2), [0.5, 0.4, 0.4], "none of the 2 epochs"),
        (Plan(epochs=1), [], None),
    ],
)
def test_warnings_about_training(plan, accuracies, says):
    rows = [{"epoch": epoch, "val_accuracy": accuracy} for epoch, accuracy in enumerate(accuracies)]
    said = training_warnings(plan, rows)
    assert len(said) == (says is not None)
    assert says is None or says in said[0]


def test_same_seed_same_weights(start, lesson):
    begun, results = start.get_weights(), []
    for _ in range(2):
        start.set_weights(begun)
        tf_keras.utils.set_random_seed(5)
        rows = fine_tune(start, lesson, Plan(epochs=1, frozen_share=0.0), quiet=True)
        results.append((rows, start.get_weights()))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(results[0][1], results[1][1], strict=True))


@pytest.mark.slow
def test_the_teacher_teaches(start, student, lesson, teacher_run):
    run = open_run(teacher_run)
    teacher = load_model(run)
    cache = TeacherCache(run, teacher, lesson.train, RECIPE.augmentation, quiet=True)
    lesson = replace(lesson, teacher=cache)
    head = fitted_head(student, cache, lesson.stage)
    plan = Plan(epochs=1, frozen_share=0.0)
    rows = fine_tune(start, replace(lesson, head=head), plan, quiet=True)
    assert {"cross_entropy", "teacher_embedding", "teacher_projected", "teacher_labels"} < set(rows[1])
    # The fitted head knows the teacher's pre-logits better than a new one.
    fresh = DistillationHead(teacher.output["embedding"].shape[-1], 8)
    fresh.build((None, student.output["embedding"].shape[-1]))
    fresh(student.output["embedding"])
    untaught = fine_tune(start, replace(lesson, head=fresh), plan, quiet=True)
    assert rows[1]["teacher_embedding"] < untaught[1]["teacher_embedding"]
    assert rows[1]["teacher_projected"] < untaught[1]["teacher_projected"]


def test_the_teachers_answers_are_made_before_the_bar(start, lesson, monkeypatch):
    asked = []
    teacher = SimpleNamespace(prepare=lambda stages, views: asked.append((stages[0].epochs, views)))
    monkeypatch.setattr(qat, "Bar", lambda *_, **__: exit())
    for views, expected in ((2, 2), (0, 3)):
        recipe = replace(RECIPE, distillation=Distillation(views=views))
        with pytest.raises(SystemExit):
            fine_tune(start, replace(lesson, recipe=recipe, teacher=teacher), Plan(epochs=3))
        assert asked.pop() == (3, expected)


def test_interrupted_it_says_that_nothing_is_kept(start, lesson, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(qat, "outputs_over", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(start, lesson, Plan(epochs=1), quiet=True)
    assert capsys.readouterr().err == "nothing of this training for int8 is kept; the same command begins it anew\n"


@pytest.mark.parametrize(("batch", "together", "shape"), [(6, 2, (3, 6)), (99, 3, (1, 18)), (100, 25, (1, 20))])
def test_balanced_batches_are_those_of_the_recipe(monkeypatch, batch, together, shape):
    orders = []
    monkeypatch.setattr(qat, "training_batches", lambda *given: orders.append(given[3]))
    images = Images(np.zeros((20, 8, 8, 3), np.uint8), np.repeat(np.arange(3, dtype=np.int32), (12, 4, 4)))
    recipe = replace(RECIPE, batch_size=batch, images_per_identity=together, balanced_batches=True)
    lesson = Lesson(images, images, FaceInput(8), recipe)
    lesson.batches(0)
    assert orders[0].shape == shape
    assert lesson.steps == shape[0]
    groups = images.labels[orders[0]].reshape(-1, min(together, 20))
    assert (groups == groups[:, :1]).all()
    counts = np.bincount(groups[:, 0], minlength=3)
    assert counts.max() - counts.min() <= 1


def test_a_loss_that_explodes_is_an_error(start, lesson):
    broken = replace(lesson, recipe=replace(RECIPE, label_smoothing=float("nan")))
    with pytest.raises(RunError, match="lower --learning-rate"):
        fine_tune(start, broken, Plan(epochs=1, frozen_share=0.0), quiet=True)


@pytest.mark.parametrize("plan", [Plan(epochs=0), Plan(learning_rate=0.0), Plan(learning_rate=float("nan"))])
def test_refuses_impossible_plans(plan):
    with pytest.raises(UsageError):
        plan.check()


@pytest.mark.parametrize(("accuracies", "kept"), [([0.5, 0.4, 0.3], 0), ([0.5, 0.4, 0.5], 2), ([0.1, 0.9, 0.3], 1)])
def test_the_epoch_that_is_kept_is_the_last_of_the_best(accuracies, kept):
    rows = [{"epoch": epoch, "val_accuracy": accuracy} for epoch, accuracy in enumerate(accuracies)]
    assert kept_epoch(rows) == kept
