"""Device profiles: what is shipped, and files that are cut or edited."""

import dataclasses

import pytest

from edgeface.bench.devices import FOLDER, all_devices, device_names, load_device
from edgeface.errors import DeviceError, UsageError

REFERENCE = """
cortex-a72 efficientdet_lite0 float32 328.7
cortex-a72 efficientdet_lite0 int8 197.8
cortex-a76 efficientdet_lite0 float32 104.0
cortex-a76 efficientdet_lite0 int8 44.2
cortex-a72 ssdlite_mobilenet_v2_300 float32 210.46
cortex-a72 ssdlite_mobilenet_v2_300 int8 168.15
cortex-a53 ssdlite_mobilenet_v2_300 float32 349.29
cortex-a53 ssdlite_mobilenet_v2_300 int8 341.93
cortex-a72 mobilenet_v1 int8 52.7
cortex-a73 mobilenet_v1 int8 55.2
cortex-a75 mobilenet_v1 int8 39.8
cortex-a55 mobilenet_v1 float32 170.0
kryo mobilenet_v1 float32 82.0
kryo mobilenet_v2 float32 49.0
cortex-a75 mobilenet_v1 float32 88.0
cortex-a75 mobilenet_v2 float32 55.0
cortex-m7 mobilenet_v2_0.35_128 int8 116.13
cortex-m7 mobilenet_v2_0.35_224 int8 313.92
cortex-a7 mobilenet_v2_0.35_224 int8 54.9
cortex-a7 mobilenet_v2_0.35_128 int8 27.2
"""


def test_the_devices_of_the_list_are_there():
    wanted = (
        "rpi3 rpi4 rpi5 rpi-zero2 phone-mid phone-high cortex-m7 ethos-u55-128 ethos-u55-256 ethos-u65 ethos-u85 mcu"
    )
    assert set(wanted.split()) <= set(device_names())
    assert [device.name for device in all_devices()] == list(device_names())


def test_no_point_of_the_calibration_table_is_missing_or_left_out():
    points = {
        (point.core, point.net, point.dtype, point.ms)
        for device in all_devices()
        for point in device.points
        if point.threads == 1 and not point.left_out
    }
    rows = [line.split() for line in REFERENCE.strip().splitlines()]
    assert [row for row in rows if (*row[:3], float(row[3])) not in points] == []


def test_every_point_has_a_source_and_every_one_left_out_a_reason():
    points = [point for device in all_devices() for point in device.points]
    assert all("github.com/" in point.source and point.runtime for point in points)
    assert all(len(point.left_out) > 20 for point in points if point.left_out)


def test_an_unknown_device_is_met_with_the_nearest_names():
    with pytest.raises(UsageError, match="did you mean rpi4"):
        load_device("rpi44")
    with pytest.raises(UsageError, match="did you mean cpu"):
        load_device("CPU")
    with pytest.raises(UsageError, match="choose from cpu, cortex-m7"):
        load_device("0123")


def test_a_profile_of_ones_own_is_read_from_its_file(tmp_path):
    path = tmp_path / "my-board.toml"
    path.write_text((FOLDER / "rpi4.toml").read_text(encoding="utf-8").replace("clock_ghz = 1.5", "clock_ghz = 1.8", 1))
    device = load_device(str(path))
    assert (device.name, device.clock_ghz) == ("my-board", 1.8)
    assert len(device.points) == len(load_device("rpi4").points)
    assert device.points[0].clock_ghz == 1.8


def test_a_cut_profile_is_refused_wherever_it_is_cut(tmp_path):
    whole, path = (FOLDER / "phone-mid.toml").read_text(encoding="utf-8"), tmp_path / "cut.toml"
    for length in range(0, len(whole.rstrip()) - 1, 61):
        path.write_text(whole[:length])
        with pytest.raises(DeviceError, match=r"cut\.toml"):
            load_device(str(path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('core = "cortex-a72"', 'core = "cortex-a99"', "cortex-a99"),
        ("cores = 4", "cores = 0", "cores"),
        ("cores = 4", 'cores = "4"', "cores"),
        ("ram_mb = 4096", "ram_mb = -1", "memory"),
        ("ram_mb = 4096", "ram = 4096", "ram"),
        ('backend = "cpu"', 'backend = "gpu"', "backend"),
        ("ms = 328.7", "ms = 0", "above 0"),
        ("ms = 328.7", "ms = true", "ms"),
        ('dtype = "float32"', 'dtype = "float8"', "float8"),
        ('net = "efficientdet_lite0"', "", "net is missing"),
        ("[[points]]", "[points]", "TOML"),
    ],
)
def test_an_edited_profile_is_refused_with_what_is_wrong(tmp_path, old, new, message):
    path = tmp_path / "edited.toml"
    path.write_text((FOLDER / "rpi4.toml").read_text(encoding="utf-8").replace(old, new, 1))
    with pytest.raises(DeviceError, match=message) as caught:
        load_device(str(path))
    assert "edited.toml" in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(DeviceError, match=r"nowhere\.toml"):
        load_device("nowhere.toml")


def test_devices_are_values():
    assert load_device("rpi5") == load_device("rpi5")
    assert dataclasses.replace(load_device("rpi5"), cores=2) != load_device("rpi5")
