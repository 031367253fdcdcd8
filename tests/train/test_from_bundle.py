"""Training that goes on from a bundle: the weights come back, and BatchNorm's statistics are those of its batches."""

import shutil

import numpy as np
import pytest
import tf_keras
from typer.testing import CliRunner

from edgeface.bundle import open_bundle
from edgeface.cli import app
from edgeface.compress.stem import lay_out_stem
from edgeface.data.synthetic import draw_faces
from edgeface.errors import BundleError
from edgeface.face_input import FaceInput
from edgeface.models import build_network
from edgeface.models.squeezenext import uniform_widths
from edgeface.train.batches import Images
from edgeface.train.from_bundle import _statistics, bundle_start, folded_layers, unfold, widths_of


@pytest.fixture(scope="module")
def sample():
    generator = np.random.default_rng(3)
    return Images(generator.integers(0, 256, (48, 32, 32, 3), np.uint8), np.zeros(48, np.int32))


def rebuilt(folder, sample):
    """The network that a bundle's weights give."""
    bundle = open_bundle(folder)
    convolutions, dense = folded_layers(bundle.read_model(), folder)
    widths = widths_of([kernel for kernel, _ in convolutions], folder)
    model = build_network("squeezenext_23v5", {"classes": 5, "size": 32, "widths": widths})
    unfold(model, convolutions, dense, sample, bundle.face_input, folder)
    return model, widths


@pytest.mark.parametrize(("mode", "tolerance"), [("float32", 1e-4), ("int8", 2e-2)])
def test_the_network_computes_what_the_bundle_was_made_from(mode, tolerance, tiny_bundles, tiny_keras, sample):
    model, widths = rebuilt(tiny_bundles[mode], sample)
    assert widths == uniform_widths(0.5, [1, 0, 0, 0])
    images = sample.images[:8].astype(np.float32) / 127.5 - 1.0
    for name, expected in tiny_keras(images, training=False).items():
        difference = np.abs(model(images, training=False)[name] - expected).max()
        assert difference <= tolerance * np.abs(expected).max()


def test_any_stem_gives_the_same_weights(tiny_models, tmp_path):
    plain, pairs, rows = (
        folded_layers(lay_out_stem(tiny_models["int8"], stem), tmp_path) for stem in ("plain", "pairs", "rows")
    )
    for other in (pairs, rows):
        assert len(other[0]) == len(plain[0])
        for (kernel, bias), (expected, expected_bias) in zip(other[0], plain[0], strict=True):
            np.testing.assert_array_equal(kernel, expected)
            np.testing.assert_array_equal(bias, expected_bias)


def test_batch_statistics_are_those_that_inference_uses(tiny_bundle, sample):
    model, _ = rebuilt(tiny_bundle, sample)
    images = sample.images.astype(np.float32) / 127.5 - 1.0
    inference, training = (model(images, training=mode)["embedding"].numpy() for mode in (False, True))
    np.testing.assert_allclose(training, inference, atol=2e-3 * np.abs(inference).max())
    stem = model.get_layer("stem_bn")
    np.testing.assert_allclose(stem.moving_variance, 1.0, rtol=1e-3)


def test_a_bundle_of_another_network_is_refused(tiny_bundle, tmp_path):
    with pytest.raises(BundleError, match="not that of a SqueezeNext"):
        widths_of([np.zeros((8, 3, 3, 3))] * 3, tmp_path)
    model = open_bundle(tiny_bundle).read_model()
    convolutions, dense = folded_layers(model, tiny_bundle)
    network = build_network("squeezenext_23v5", {"classes": 5, "size": 32, "width": 1.0, "blocks": [1, 0, 0, 0]})
    sample = Images(np.zeros((4, 32, 32, 3), np.uint8), np.zeros(4, np.int32))
    with pytest.raises(BundleError, match="not those of the network"):
        unfold(network, convolutions, dense, sample, open_bundle(tiny_bundle).face_input, tiny_bundle)


def test_the_command_refuses_other_people_a_teacher_and_a_damaged_bundle(tiny_bundle, tmp_path):
    people = tmp_path / "people"
    draw_faces(people, identities=3, images=10, size=48)

    def train(role, bundle):
        out = tmp_path / "run"
        result = CliRunner().invoke(app, ["train", role, str(people), "--init", str(bundle), "--out", str(out)])
        assert result.exit_code == 2
        assert not out.exists()
        return result.stderr

    assert "other identities" in train("student", tiny_bundle)
    assert "give a teacher's run" in train("teacher", tiny_bundle)
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_bundle, damaged)
    model = damaged / "model.tflite"
    model.write_bytes(model.read_bytes()[:-8])
    assert "model.tflite" in train("student", damaged)


def test_a_run_from_a_bundle_records_it(tiny_bundle, tmp_path):
    people = tmp_path / "people"
    draw_faces(people, identities=5, images=10, size=48)
    for split in people.iterdir():
        for drawn, name in zip(sorted(split.iterdir()), open_bundle(tiny_bundle).labels, strict=True):
            drawn.rename(split / name)
    start = bundle_start(tiny_bundle, people)
    assert start.shape == {"width": 0.5, "widths": uniform_widths(0.5, [1, 0, 0, 0])}
    assert start.facts["init"]["model_sha256"] == open_bundle(tiny_bundle).model_sha256


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_statistics_keep_a_small_deviation_beside_a_large_mean(policy):
    shades = np.random.default_rng(0).integers(0, 3, (80, 4, 4, 3), np.uint8)
    image = tf_keras.Input((4, 4, 3))
    layer = tf_keras.layers.Rescaling(1.0, offset=64.0, dtype="float32" if policy == "float32" else "bfloat16")
    model = tf_keras.Model(image, [layer(image), tf_keras.layers.Rescaling(1.0, offset=64.0)(image)])
    seen = shades.astype(np.float64) / 127.5 - 1 + 64
    means, deviations = _statistics(model, Images(shades, np.zeros(80, np.int32)), FaceInput(4))
    np.testing.assert_allclose(means[1], seen.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(deviations[1], seen.std((0, 1, 2)), rtol=1e-2)
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in (*means, *deviations))
