"""The same model and inputs on this machine, by the same version of LiteRT, to compare outputs with.

The C API that `guest.py` uses is exported by the aarch64 library only, so that here LiteRT's Python package is run, in
a process of its own: its version is not that of the installed one.

    python -m edgeface.bench.arm.host FOLDER MODEL INPUTS OUTPUTS
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

from edgeface.bench.arm.home import home
from edgeface.bench.arm.packages import litert_version
from edgeface.bench.workers import module_command

SECONDS = 600.0


def host_runtimes() -> dict[str, str]:
    """LiteRT versions that this machine can run -> the folder they are loaded from, "" for the installed one."""
    found = {}
    if (home() / "host" / "ai_edge_litert" / "interpreter.py").is_file():
        found[litert_version()] = str(home() / "host")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found.setdefault(importlib.metadata.version("ai-edge-litert"), "")
    return found


def host_outputs(folder: str, model: Path, inputs: bytes) -> bytes | None:
    """Raw outputs of all inputs, as `Emulation.outputs`; None when that runtime does not run the model."""
    with tempfile.TemporaryDirectory(prefix="edgeface-host-") as name:
        place = Path(name)
        (place / "inputs").write_bytes(inputs)
        command = [*module_command("edgeface.bench.arm.host"), folder, str(model.resolve())]
        command += [str(place / "inputs"), str(place / "outputs")]
        try:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return None
        return (place / "outputs").read_bytes() if result.returncode == 0 else None


def main(folder: str, model: str, inputs: str, outputs: str) -> None:
    """Run all inputs on one thread."""
    if folder:
        sys.path.insert(0, folder)
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    data, at = Path(inputs).read_bytes(), 0
    with open(outputs, "wb") as target:
        while at < len(data):
            for tensor in interpreter.get_input_details():
                values = np.frombuffer(data, tensor["dtype"], int(np.prod(tensor["shape"])), at)
                interpreter.set_tensor(tensor["index"], values.reshape(tensor["shape"]))
                at += values.nbytes
            interpreter.invoke()
            for tensor in interpreter.get_output_details():
                target.write(interpreter.get_tensor(tensor["index"]).tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
