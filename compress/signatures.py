"""Two ways to call one graph: `classify` and `embed` as signatures of the same subgraph.

TensorFlow's converter makes a subgraph of its own for every signature. That costs 23 % of file size for the int8
1.0-SqueezeNext (1.32 instead of 1.07 MB), and twice the memory for weights once both are loaded. Here the network is
converted once, with both outputs, and two signatures call it: some bytes. LiteRT and tflite-runtime run it.

Each signature names both outputs, its own first, because LiteRT's CompiledModel (the API for C++, Kotlin and NPUs)
refuses a signature with fewer outputs than its subgraph.
"""

from __future__ import annotations

import copy

from tensorflow.lite.tools import flatbuffer_utils

from edgeface.bundle_schema import OUTPUTS


def share_graph(model: bytes) -> bytes:
    """Replace the only signature of a .tflite (outputs `logits` and `embedding`) by `classify` and `embed`."""
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    (whole,) = tree.signatureDefs
    tree.signatureDefs = []
    for name, output in OUTPUTS.items():
        signature = copy.copy(whole)
        signature.signatureKey = name.encode()
        own = [entry for entry in whole.outputs if entry.name.decode() == output]
        if len(own) != 1:
            raise ValueError(f"the converted model has no output called {output!r}")
        signature.outputs = own + [entry for entry in whole.outputs if entry not in own]
        tree.signatureDefs.append(signature)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))
