"""The model card of a bundle: what a person must know before using it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NOT_MEASURED = "not measured"
MODES = {
    "float32": "32-bit floats, not quantized",
    "float16": "16-bit float weights",
    "dynamic": "8-bit weights, float activations",
    "int8": "8-bit integers throughout, calibrated after training",
    "qat": "8-bit integers throughout, fine-tuned with quantization in the loop",
}

NO_TERMS = (
    "The terms of this data are not recorded (`--note` of `edgeface quantize` records them). Photos of faces are often "
    "for research only, and so is a model that learnt from them: find out before you use it for anything else."
)


def render(name: str, manifest: dict[str, Any], contents: dict[str, bytes]) -> str:
    """Markdown for a bundle called `name` from its manifest; `contents` are its files."""
    source, face = manifest["source"], manifest["input"]
    megabytes = len(contents["model.tflite"]) / 1e6
    region = "the whole photo" if face["crop"] is None else "rows {}-{}, columns {}-{}".format(*face["crop"])
    frame = "" if face["frame"] is None else f" of a {face['frame'][1]}x{face['frame'][0]} aligned photo"
    mode = _mode(manifest)
    note = manifest["note"].strip() or NO_TERMS
    return f"""# {name}

A face recogniser for {manifest["labels"]} people, made by EdgeFace ({source.get("network", "network not recorded")}).

- Model: `model.tflite`, {megabytes:.2f} MB, {manifest["mode"]} ({mode}); input and outputs {manifest["io"]}.
- Input: one aligned face, {region}{frame}, resized to {face["size"]}x{face["size"]} RGB,
  0..255 scaled to {face["value_range"][0]:g}..{face["value_range"][1]:g}.
- Output: `classify` gives {manifest["labels"]} logits in the order of `labels.txt`;
  `embed` gives a vector of {manifest["embedding_size"]} numbers, not normalised.

## How good it is
{_accuracy(manifest["accuracy"])}
{chain_table(manifest.get("chain", []))}

## Error rates when two faces are compared
{_thresholds(manifest.get("thresholds", []))}

## The data it saw
{_data(source)}

{note}

## What it cannot do
- It answers with one of its people for any photo: a stranger gets a name too. Look at the confidence.
- It has no presentation-attack detection: a printed photo or a screen held before the camera passes for the person.
- Accuracy can differ between groups of people, ages, cameras and light. Measure it on your own people first.

## How to run it
    pip install .            # in EdgeFace's source folder
    edgeface predict {name} photo.jpg

    from edgeface import Recognizer
    print(Recognizer("{name}").predict("photo.jpg")[0].identity)

## Where it came from
{_source(source)}
"""


def _mode(manifest: dict[str, Any]) -> str:
    text, quantization = MODES.get(manifest["mode"], ""), manifest["source"].get("quantization")
    left = quantization.get("float_layers") if isinstance(quantization, dict) else None
    return text.replace("throughout", f"but for {left}") if left else text


def _accuracy(accuracy: dict[str, Any] | None) -> str:
    if accuracy is None:
        return "Not measured."
    before, after = (_percent(accuracy[key]) for key in ("before", "after"))
    lines = [
        "| | top-1 accuracy |",
        "|---|---|",
        f"| before conversion | {before} |",
        f"| this model | {after} |",
        "",
        f"Measured on {accuracy['images']} images: {accuracy['data'] or 'data not recorded'}.",
    ]
    return "\n".join(lines)


def _thresholds(thresholds: list[dict[str, Any]]) -> str:
    if not thresholds:
        return "Not measured: run `edgeface calibrate` before using it to tell strangers."
    lines = ["| false match rate | accept from cosine | false non-match rate |", "|---|---|---|"]
    lines += [f"| {row['fmr']:g} | {row['threshold']:.4f} | {100 * row['fnmr']:.2f} % |" for row in thresholds]
    last = thresholds[-1]
    pairs = f"{last['impostor_pairs']} impostor and {last['genuine_pairs']} genuine pairs"
    rule = "No rate under 3 divided by the impostor pairs is stated: fewer pairs cannot show it."
    return "\n".join([*lines, "", f"Measured on {pairs}: {last['data']}.", rule])


def chain_table(chain: Sequence[dict[str, Any]]) -> str:
    """What each step on the way gave, as Markdown; "" for no steps."""
    if not chain:
        return ""
    lines = ["", "| step | from | top-1 | million MACs | MB | fps |", "|---|---|---:|---:|---:|---:|"]
    lines += ["| " + " | ".join(chain_cells(step)) + " |" for step in chain]
    how = (
        "MB and fps: of the network as float32, or of the .tflite file. Top-1 before the last step: as validated in\n"
        "training, which in bfloat16 differs by some images."
    )
    return "\n".join([*lines, "", how])


def chain_cells(step: dict[str, Any]) -> tuple[str, ...]:
    """One step for people: step, name, top-1, million MACs, MB, fps."""
    return (
        step["step"],
        step["name"],
        _percent(step["accuracy"]),
        *(
            NOT_MEASURED if step[key] is None else f"{step[key] / unit:.{digits}f}"
            for key, unit, digits in (("macs", 1e6, 1), ("bytes", 1e6, 2), ("fps", 1, 1))
        ),
    )


def _percent(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{100 * value:.2f} %"


def _data(source: dict[str, Any]) -> str:
    known = [f"{key.replace('_', ' ')}: {source[key]}" for key in ("dataset", "dataset_hash") if source.get(key)]
    return "\n".join(f"- {line}" for line in known) or "Not recorded."


def _source(source: dict[str, Any]) -> str:
    lines = []
    for key, value in source.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        lines.append(f"- {key.replace('_', ' ')}: {text}")
    return "\n".join(lines) or "Not recorded."
