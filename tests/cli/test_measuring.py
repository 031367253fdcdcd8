"""The measuring function that the command line hands to the compress room."""

from __future__ import annotations

import pytest

from edgeface.cli.measuring import fps_on


@pytest.mark.slow
def test_frames_a_second_of_bundles(tiny_bundles):
    rates = fps_on("cpu", 1)([tiny_bundles["float32"], tiny_bundles["int8"]])
    assert len(rates) == 2
    assert all(rate is not None and rate > 10 for rate in rates)
