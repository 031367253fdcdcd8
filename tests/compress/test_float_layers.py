"""Which layers stay in floats, and that they do so in the file."""

from __future__ import annotations

import pytest

from edgeface.errors import UsageError
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress.audit import audit
from edgeface.compress.export import to_tflite
from edgeface.compress.float_layers import resolve
from edgeface.compress.qat_model import fake_quantized
from edgeface.compress.stem import stem_of


def sensitivity(**costs: tuple[float, float]) -> dict:
    """An audit with (accuracy change, cosine) of single layers."""
    rows = [
        {"layers": [name], "int8": {"accuracy_change": change, "cosine": {"p1": cosine}}}
        for name, (change, cosine) in costs.items()
    ]
    return {"rows": rows}


def test_first_and_last_take_their_batch_norm_along(student):
    assert resolve(student, "first") == ("stem", "stem_bn", "stem_relu")
    assert resolve(student, "last, first") == ("logits", "stem", "stem_bn", "stem_relu")
    assert resolve(student, "") == ()
    assert resolve(student, "head,logits") == ("head", "head_bn", "head_relu", "logits")


def test_auto_takes_the_ends_that_suffer(student):
    good = (0.0, 0.999)
    assert resolve(student, "auto", sensitivity(stem=(-0.004, 0.99), stage1_enter=good, logits=good, head=good)) == (
        "stem",
        "stem_bn",
        "stem_relu",
    )
    assert resolve(student, "auto", sensitivity(stem=good, logits=(0.0, 0.97), head=(-0.1, 0.9))) == (
        "logits",
        "head",
        "head_bn",
        "head_relu",
    )
    # What suffers in the middle cannot be helped this way.
    assert resolve(student, "auto", sensitivity(stem=good, stage1_enter=(-0.5, 0.5), logits=good)) == ()


@pytest.mark.parametrize(
    ("text", "found", "message"),
    [
        ("stem,nose", None, r"nose: no such layer.*first, last, auto or of stem, stage1_enter, \.\.\., head, logits"),
        ("stage1_block1_3x1", None, "lies between int8 layers"),
        ("stem,stage1_block1_3x1", None, "stage1_block1_3x1: lies between"),
        ("auto", None, "needs a sensitivity audit"),
        ("auto", {"rows": [{"layers": ["stem"], "int8": {}}]}, "is damaged"),
        ("auto", sensitivity(head=(0.0, 1.0)), "has no single layers"),
        ("auto", {**sensitivity(stem=(0.0, 1.0)), "by": "block"}, "has no single layers"),
    ],
)
def test_refusals(student, text, found, message):
    with pytest.raises(UsageError, match=message):
        resolve(student, text, found)


@pytest.mark.slow
def test_they_are_floats_in_the_file(student, samples):
    names = resolve(student, "first,last")
    model = to_tflite(fake_quantized(student, samples, (-1.0, 1.0), float_layers=names), "qat")
    kinds = sorted(name.split()[0] for name in audit(model).float_operators)
    assert stem_of(model) == "plain"
    assert kinds == ["CONV_2D", "FULLY_CONNECTED", "QUANTIZE"]
