"""The same model and inputs on this machine, by the same version of LiteRT, to compare outputs with.

The C API that `guest.py` uses is exported by the aarch64 library only, so that here LiteRT's Python package is run, in
a process of its own: its version is not that of the installed one.

    python host.py FOLDER MODEL INPUTS OUTPUTS
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from edgeface.bench.arm.home import home

SECONDS = 600.0


def has_host_runtime() -> bool:
    """Whether the emulated LiteRT version is there for this machine's Python, too."""
    return (home() / "host" / "ai_edge_litert" / "interpreter.py").is_file()


def host_outputs(model: Path, inputs: bytes) -> bytes | None:
    """Raw outputs of all inputs, as `Emulation.outputs`; None when this machine cannot run that version."""
    if not has_host_runtime():
        return None
    with tempfile.TemporaryDirectory(prefix="edgeface-host-") as name:
        folder = Path(name)
        (folder / "inputs").write_bytes(inputs)
        command = [sys.executable, str(Path(__file__)), str(home() / "host"), str(model)]
        command += [str(folder / "inputs"), str(folder / "outputs")]
        # Without the package's folder first on the path, where `profile.py` would hide the standard library's.
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        try:
            result = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return None
        return (folder / "outputs").read_bytes() if result.returncode == 0 else None


def main(folder: str, model: str, inputs: str, outputs: str) -> None:
    """Run all inputs on one thread."""
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
