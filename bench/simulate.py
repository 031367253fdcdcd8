"""One model on one simulated device, by the best backend there is for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeface.bench.devices import Device
from edgeface.bench.estimate import Estimate
from edgeface.errors import EmulatorError


def simulate(model: Path, device: Device, threads: int = 1) -> Estimate:
    """What a .tflite file costs on a device.

    Vela for Ethos-U, TensorFlow Lite Micro for `mcu`, Arm emulation where it is set up, else the profile, whose row
    says why. An emulator that fails falls back to the profile, too, and so does a board with the user's own
    measurements of the model's type, float32 or int8, which the profile knows. A model that does not fit is an Estimate
    with `fits` false; raises EdgeFaceError for a model that the device's backend cannot take at all.
    """
    if device.backend == "ethos-u":
        from edgeface.bench import vela

        return vela.estimate(model, device)
    if device.backend == "tflite-micro":
        from edgeface.bench import mcu

        return mcu.estimate(model, device)
    return _processor(model, device, threads)


def _processor(model: Path, device: Device, threads: int) -> Estimate:
    from edgeface.bench import profile
    from edgeface.bench.arm import home
    from edgeface.bench.arm.cores import CORES
    from edgeface.bench.calibration.facts import dtype_of
    from edgeface.bench.calibration.own_points import own_samples
    from edgeface.bench.tflite_ops import read_graph

    if device.core not in CORES:
        return profile.estimate(model, device, threads)
    dtype = dtype_of(read_graph(model))
    if any(sample.dtype == dtype for sample in own_samples(device.name)):
        why = f"by the profile and your own {dtype} measurements, not by arm emulation"
    elif reason := home.not_set_up():
        why = f"by the profile: {reason}"
    else:
        # Only now: it imports NumPy and LiteRT, and a profile has to answer at once.
        from edgeface.bench.arm import emulate

        try:
            return emulate.emulate(model, device, threads)
        except EmulatorError as error:
            why = f"by the profile: {str(error).removeprefix(f'{model}: ')}"
    estimate = profile.estimate(model, device, threads)
    return dataclasses.replace(estimate, notes=(why, *estimate.notes))
