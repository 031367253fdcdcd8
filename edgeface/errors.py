"""Every error EdgeFace raises for something the user can mend.

    EdgeFaceError                 base; the command line prints it in one or two lines and exits 2
      UsageError                  options that contradict each other or do not exist
      DataError                   a dataset that cannot be used as it is
        ImageError                one image that cannot be read or is not fit for use
          FaceError               a readable photo without a face that can be used
      RecipeError                 a recipe with an unknown field or stages that contradict each other
      RunError                    a training run that is missing, cut short, edited or of another version
      BundleError                 a bundle that is missing, cut short, edited or of another version
      DeviceError                 a simulated device's profile that is missing, cut short or edited
      EmulatorError               the Arm emulator cannot be set up, is not set up, or did not finish
      GalleryError                a gallery that is missing, damaged, in use or of another model
      CameraError                 a camera or video that cannot be opened or has gone away
      MissingDependencyError      an optional package is needed and not installed
      StorageError                a full disk or a folder that cannot be written
    GateFailed                    a result is below the gate the user set; exits 1

The message names the file and the fix.
"""

from __future__ import annotations


class EdgeFaceError(Exception):
    """Base of all errors for bad input. Exit code 2."""

    exit_code = 2


class UsageError(EdgeFaceError):
    """Options that contradict each other or do not exist."""


class DataError(EdgeFaceError):
    """A dataset that cannot be used as it is."""


class ImageError(DataError):
    """One image that cannot be read or is not fit for use."""


class FaceError(ImageError):
    """A readable photo without a face that can be used: none found, too small or too blurred."""


class RecipeError(EdgeFaceError):
    """A recipe with an unknown field, a wrong value, or stages that contradict each other."""


class RunError(EdgeFaceError):
    """A training run that is missing, cut short, edited or from another version."""


class QuantizationError(EdgeFaceError):
    """A network that int8 cannot hold."""


class BundleError(EdgeFaceError):
    """A bundle that is missing, cut short, edited or from another version."""


class DeviceError(EdgeFaceError):
    """A simulated device's profile that is missing, cut short or edited."""


class EmulatorError(EdgeFaceError):
    """The Arm emulator cannot be set up, is not set up, or did not finish."""


class GalleryError(EdgeFaceError):
    """A gallery that is missing, damaged, in use by another process, or made with another model or key."""


class CameraError(EdgeFaceError):
    """A camera or video that cannot be opened or has gone away."""


class MissingDependencyError(EdgeFaceError):
    """An optional package is needed and not installed."""


class StorageError(EdgeFaceError):
    """A full disk or a folder that cannot be written."""


class GateFailed(EdgeFaceError):
    """A result is below the gate the user set (`--max-drop`, `--fail-if`). Exit code 1."""

    exit_code = 1
