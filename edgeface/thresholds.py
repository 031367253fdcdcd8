"""Thresholds that mean something: the cosine above which two faces are taken for one person, at a measured error rate.

FMR (false match rate) is the share of pairs of different people that are accepted, FNMR (false non-match rate) the
share of pairs of one person that are refused (ISO/IEC 19795-1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeface.errors import UsageError

DEFAULT_FMR = 1e-3
"""The rate that identify, verify and watch ask for unless told."""
OWN_PEOPLE = "people it was trained on"
"""How `data` ends when the pairs are of the network's own people."""


@dataclass(frozen=True)
class Threshold:
    """Accept two faces when their cosine is at least `threshold`.

    On the calibration pairs that accepted at most `fmr` of `impostor_pairs` and refused `fnmr` of `genuine_pairs`.
    `data` names the pairs, `detector` what found the faces ("none" for aligned photos, "" where it was not noted).
    With `flip` each face's embedding was the mean of its own and its mirror image's.
    """

    fmr: float
    threshold: float
    fnmr: float
    impostor_pairs: int
    genuine_pairs: int
    data: str
    detector: str = ""
    flip: bool = False

    @property
    def of_own_people(self) -> bool:
        """Whether the pairs are of people the network was trained on, whom it tells apart better than strangers."""
        return self.data.endswith(OWN_PEOPLE)

    def doubts(self, detector: str, *, flip: bool = False, average: bool = False) -> list[str]:
        """Why the rate is not the one to expect of strangers whose faces `detector` finds.

        Rates are of two photos' embeddings; `flip` and `average` say that mirrored ones, or a person's, are averaged.
        """
        doubts = ["the real rate is higher for strangers"] if self.of_own_people else []
        if self.detector not in ("", detector):
            doubts.append(f"measured with --detector {self.detector}, not {detector}: the real rate may be another")
        averaged = (("--flip", flip and not self.flip), ("averaged templates", average))
        unmeasured = [name for name, used in averaged if used]
        if unmeasured:
            doubts.append(f"measured without {' and '.join(unmeasured)}: the real rate may be another")
        if self.flip and not flip:
            doubts.append("measured with --flip: the real rate may be another")
        return doubts

    def line(self) -> str:
        """One line for people."""
        return (
            f"cosine {self.threshold:.4f} for FMR {self.fmr:g} (FNMR {100 * self.fnmr:.1f} %; "
            f"{self.impostor_pairs} impostor and {self.genuine_pairs} genuine pairs of {self.data})"
        )


def find_threshold(thresholds: Sequence[Threshold], fmr: float, bundle: Path) -> Threshold:
    """The stored threshold for that FMR. Raises UsageError, naming those that there are, when it is not stored."""
    for entry in thresholds:
        if math.isclose(entry.fmr, fmr, rel_tol=1e-6):
            return entry
    if not thresholds:
        raise UsageError(f"{bundle}: has no thresholds yet; measure them with: edgeface calibrate {bundle} DATA")
    known = ", ".join(f"{entry.fmr:g}" for entry in thresholds)
    raise UsageError(
        f"{bundle}: no threshold for FMR {fmr:g}, only for {known}; choose one, or calibrate on more pairs with: "
        f"edgeface calibrate {bundle} DATA"
    )
