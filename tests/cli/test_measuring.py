"""The measuring function that the command line hands to the compress room."""

from __future__ import annotations

import pytest

from edgeface.cli.measuring import fps_on, stem_for
from edgeface.errors import UsageError


def test_a_device_without_a_speed_is_refused_before_anything_is_made():
    with pytest.raises(UsageError, match="mcu is run for memory and outputs, not for a speed"):
        fps_on("mcu", 1)
    fps_on("mcu", 1, needed=False)  # a budget of size alone


def test_microcontrollers_get_a_plain_stem():
    assert [stem_for(device) for device in ("cpu", "rpi4", "ethos-u85", "cortex-m7")] == [None] * 3 + ["plain"]


@pytest.mark.slow
def test_frames_a_second_of_bundles(tiny_bundles):
    rates = fps_on("cpu", 1)([tiny_bundles["float32"], tiny_bundles["int8"]])
    assert len(rates) == 2
    assert all(rate is not None and rate > 10 for rate in rates)
