"""What an emulated board looks like to the code that runs on it.

XNNPACK chooses its kernels by /proc/cpuinfo (the core's implementer and part numbers) and by the features that the
processor reports. QEMU has no model of every core; where it has none, the nearest with the same instructions takes its
place, under the true core's part number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_ARMV82 = f"{_ARMV8} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"


@dataclass(frozen=True)
class EmulatedCore:
    """`qemu` is QEMU's `-cpu`; the numbers are those of /proc/cpuinfo: implementer, part, variant, revision (r2p0).

    Cores of one `pipeline` lend each other calibration.
    """

    name: str
    qemu: str
    implementer: int
    part: int
    variant: int
    revision: int
    features: str
    pipeline: str

    @property
    def stand_in(self) -> bool:
        """Whether another core's model runs under this one's part number."""
        return self.qemu != self.name


CORES = {
    core.name: core
    for core in (
        EmulatedCore("cortex-a53", "cortex-a53", 0x41, 0xD03, 0, 4, _ARMV8, "in-order"),
        EmulatedCore("cortex-a55", "cortex-a76", 0x41, 0xD05, 2, 0, _ARMV82, "in-order"),
        EmulatedCore("cortex-a72", "cortex-a72", 0x41, 0xD08, 0, 3, _ARMV8, "out-of-order"),
        EmulatedCore("cortex-a73", "cortex-a72", 0x41, 0xD09, 0, 2, _ARMV8, "out-of-order"),
        # Phones of Cortex-A75 (Snapdragon 670, 845) have no dot product; from r2 on it is taken to be there.
        EmulatedCore("cortex-a75", "cortex-a72", 0x41, 0xD0A, 0, 0, _ARMV8, "out-of-order"),
        EmulatedCore("cortex-a76", "cortex-a76", 0x41, 0xD0B, 4, 1, _ARMV82, "wide"),
        EmulatedCore("kryo", "cortex-a72", 0x51, 0x205, 2, 1, _ARMV8, "out-of-order"),
    )
}


def write_system_files(root: Path, core: EmulatedCore, processors: int) -> None:
    """Write the board's /proc/cpuinfo and the lists of its processors under `root`."""
    block = (
        "processor\t: {number}\nBogoMIPS\t: 108.00\n"
        f"Features\t: {core.features}\nCPU implementer\t: {core.implementer:#04x}\nCPU architecture: 8\n"
        f"CPU variant\t: {core.variant:#x}\nCPU part\t: {core.part:#05x}\nCPU revision\t: {core.revision}\n\n"
    )
    (root / "proc").mkdir(parents=True)
    (root / "proc" / "cpuinfo").write_text("".join(block.format(number=number) for number in range(processors)))
    folder = root / "sys" / "devices" / "system" / "cpu"
    folder.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (folder / name).write_text(f"0-{processors - 1}\n" if processors > 1 else "0\n")
