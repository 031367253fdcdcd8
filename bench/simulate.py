"""One model on one simulated device, by the best backend there is for it."""

from __future__ import annotations

from pathlib import Path

from edgeface.bench.devices import Device
from edgeface.bench.estimate import Estimate


def simulate(model: Path, device: Device, threads: int = 1) -> Estimate:
    """What a .tflite file costs on a device.

    Vela for Ethos-U, TensorFlow Lite Micro for `mcu`, else the profile. A model that does not fit is an Estimate with
    `fits` false; raises EdgeFaceError for a model that the device's backend cannot take at all.
    """
    if device.backend == "ethos-u":
        from edgeface.bench import vela

        return vela.estimate(model, device)
    if device.backend == "tflite-micro":
        from edgeface.bench import mcu

        return mcu.estimate(model, device)
    from edgeface.bench import profile

    return profile.estimate(model, device, threads)
