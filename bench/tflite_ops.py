"""What a .tflite file asks a device to do: its operators with multiply-adds, bytes, types and shapes.

Reads the FlatBuffers file itself (the part of TensorFlow Lite's schema that is needed: about ten fields), so that a
profile needs neither TensorFlow nor a runtime, and a damaged file is an error and not a crash: every offset is checked
against the file's end.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from edgeface.errors import BundleError
from edgeface.stem_layout import GATHERER, ROWS

_OPERATORS = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION
LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH
CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR
ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE
RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND
COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
"""
OPERATORS = tuple(_OPERATORS.split())
"""Names of the schema's BuiltinOperator, by number."""

KINDS = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
    "BATCH_MATMUL": "dense",
    "TRANSPOSE_CONV": "convkxk",
    "AVERAGE_POOL_2D": "pool",
    "MAX_POOL_2D": "pool",
    "MEAN": "pool",
    "SOFTMAX": "softmax",
    "QUANTIZE": "quantize",
    "DEQUANTIZE": "quantize",
    "RESIZE_BILINEAR": "resize",
    "RESIZE_NEAREST_NEIGHBOR": "resize",
}
_ELEMENTWISE = "ADD MUL SUB DIV RELU RELU6 RELU_N1_TO_1 LOGISTIC TANH PRELU MAXIMUM MINIMUM NEG LOG SQRT RSQRT POW EXP"
KINDS |= dict.fromkeys(f"{_ELEMENTWISE} SQUARE LEAKY_RELU SQUARED_DIFFERENCE ABS ELU HARD_SWISH".split(), "elementwise")
KINDS |= dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SHAPE"), "free")
_LAYOUT = "CONCATENATION PAD PADV2 MIRROR_PAD TRANSPOSE STRIDED_SLICE SLICE SPLIT SPLIT_V PACK UNPACK GATHER TILE CAST"
KINDS |= dict.fromkeys(f"{_LAYOUT} SPACE_TO_DEPTH DEPTH_TO_SPACE".split(), "layout")

TYPES = {
    **{0: ("float32", 32), 1: ("float16", 16), 2: ("int32", 32), 3: ("uint8", 8), 4: ("int64", 64), 6: ("bool", 8)},
    **{7: ("int16", 16), 8: ("complex64", 64), 9: ("int8", 8), 10: ("float64", 64), 12: ("uint64", 64)},
    **{
        15: ("uint32", 32),
        16: ("uint16", 16),
        17: ("int4", 4),
        18: ("bfloat16", 16),
        19: ("int2", 2),
        20: ("uint4", 4),
    },
}
"""The schema's TensorType -> (name, bits of an element); others take no known space."""


@dataclass(frozen=True)
class Tensor:
    """One tensor. `weight_bytes` is the size of its constant content, 0 for what is computed at run time."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    weight_bytes: int


@dataclass(frozen=True)
class Op:
    """One operator. `name` is that of its first output, `type` TensorFlow Lite's (CONV_2D).

    `kind` is conv1x1, conv3x1 (any k x 1), conv1x3 (any 1 x k), convkxk, depthwise, dense, elementwise, pool, softmax,
    quantize, resize, layout (copies, among them the convolution that gathers a stem's rows), free (no work), other; a
    stem over rows is convkxk as it was over pixels. `dtype` is that of the activation it reads, `weight_dtype`
    of its weights ("" without). `macs` are multiply-adds, those with the zeros that fill up a stem's kernel among them.
    Bytes are of the constants, the other inputs, the outputs. `inputs` and `outputs` are indices of tensors.
    """

    index: int
    name: str
    type: str
    kind: str
    dtype: str
    weight_dtype: str
    macs: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The first of a file's `subgraphs`. `weight_bytes` counts each constant once; `file_bytes` is the whole file."""

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    weight_bytes: int
    file_bytes: int
    subgraphs: int


def is_done_at_load(op: Op) -> bool:
    """Whether a runtime does it once, when it loads the model: float16 constants made float32."""
    return op.type == "DEQUANTIZE" and op.kind == "free"


def read_graph(model: Path) -> Graph:
    """A .tflite file's first subgraph: operators, tensors, inputs and outputs.

    Raises BundleError, naming the file, when it is missing, cut short, edited or not a TensorFlow Lite model.
    """
    try:
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[4:8] != b"TFL3":
                raise BundleError(f"{model}: is not a TensorFlow Lite model (no TFL3 mark); give a .tflite file")
            return _graph(data)
    except OSError as error:
        raise BundleError(f"{model}: cannot be read ({error.strerror}); give a .tflite file") from None
    except (struct.error, IndexError, ValueError, OverflowError, KeyError) as error:
        raise BundleError(f"{model}: is cut short or damaged ({error}); export or copy it again") from None


class _Table:
    """One FlatBuffers table: fields by their number in the schema, every read inside the file or an IndexError."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self.data, self.at = data, at
        self.vtable = at - self._number("<i", at)
        self.length = self._number("<H", self.vtable)

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A scalar field of struct type `kind`."""
        at = self._field(field)
        return self._number("<" + kind, at) if at else default

    def table(self, field: int) -> _Table | None:
        """A table field."""
        at = self._field(field)
        return _Table(self.data, self._follow(at)) if at else None

    def text(self, field: int) -> str:
        """A string field; "" when it is not there."""
        start, count = self.vector(field, 1)
        return self.data[start : start + count].decode("utf-8", errors="replace")

    def vector(self, field: int, item_bytes: int) -> tuple[int, int]:
        """Where a vector field starts and how many items it has."""
        at = self._field(field)
        if not at:
            return 0, 0
        start = self._follow(at)
        count = self._number("<I", start)
        if start + 4 + count * item_bytes > len(self.data):
            raise IndexError("a list reaches past the end of the file")
        return start + 4, count

    def integers(self, field: int) -> tuple[int, ...]:
        """A vector of int32."""
        start, count = self.vector(field, 4)
        return struct.unpack_from(f"<{count}i", self.data, start)

    def tables(self, field: int) -> list[_Table]:
        """A vector of tables."""
        start, count = self.vector(field, 4)
        return [_Table(self.data, self._follow(start + 4 * number)) for number in range(count)]

    def _field(self, field: int) -> int:
        offset = 4 + 2 * field
        inside = self._number("<H", self.vtable + offset) if offset < self.length else 0
        return self.at + inside if inside else 0

    def _follow(self, at: int) -> int:
        return at + self._number("<I", at)

    def _number(self, kind: str, at: int) -> int:
        if at < 0:
            raise IndexError("an offset before the start of the file")
        return struct.unpack_from(kind, self.data, at)[0]


def _graph(data: mmap.mmap) -> Graph:
    """The fields' numbers are those of TensorFlow Lite's schema.fbs, version 3."""
    model = _Table(data, struct.unpack_from("<I", data, 0)[0])
    codes = [_operator_name(code) for code in model.tables(1)]
    sizes = [max(buffer.vector(0, 1)[1], buffer.number(2, "Q")) for buffer in model.tables(4)]
    subgraphs = model.tables(2)
    if not subgraphs:
        raise ValueError("no graph in it")
    graph = subgraphs[0]
    tables = graph.tables(0)
    tensors = tuple(_tensor(table, sizes) for table in tables)
    ops = tuple(_op(index, table, codes, tensors) for index, table in enumerate(graph.tables(3)))
    constants = {table.number(2, "I"): tensor.weight_bytes for table, tensor in zip(tables, tensors, strict=True)}
    weights = sum(constants.values())
    return Graph(ops, tensors, graph.integers(1), graph.integers(2), weights, len(data), len(subgraphs))


def _operator_name(code: _Table) -> str:
    """Custom operators by their own name; old files keep small numbers in a field of their own."""
    number = max(code.number(0, "b"), code.number(3, "i"))
    return code.text(1) or (OPERATORS[number] if 0 <= number < len(OPERATORS) else f"BUILTIN_{number}")


def _tensor(table: _Table, sizes: list[int]) -> Tensor:
    shape = table.integers(0)
    if any(length < 0 for length in shape):
        raise ValueError("a tensor of negative size")
    dtype, bits = TYPES.get(table.number(1, "b"), ("other", 0))
    return Tensor(table.text(3), dtype, shape, (prod(shape) * bits + 7) // 8, sizes[table.number(2, "I")])


def _op(index: int, table: _Table, codes: list[str], tensors: tuple[Tensor, ...]) -> Op:
    kind = codes[table.number(0, "I")]
    inputs = tuple(number for number in table.integers(1) if number >= 0)  # -1 is an input left out
    outputs = table.integers(2)
    if any(number < 0 for number in outputs):
        raise ValueError("an operator without its output")
    read, written = [tensors[number] for number in inputs], [tensors[number] for number in outputs]
    activations = [tensor for tensor in read if not tensor.weight_bytes]
    weights = [tensor for tensor in read if tensor.weight_bytes]
    first = (activations or read or written or [Tensor("", "", (), 0, 0)])[0]
    filters = _filters(kind, read)
    return Op(
        index=index,
        name=written[0].name if written else "",
        type=kind,
        # Of a constant (float16 weights) it is done once, when the model is loaded.
        kind="free" if kind == "DEQUANTIZE" and not activations else _kind(kind, filters, first.name),
        dtype=first.dtype,
        weight_dtype=filters.dtype if filters else "",
        macs=_macs(kind, read, written, filters),
        weight_bytes=sum(tensor.weight_bytes for tensor in weights),
        input_bytes=sum(tensor.bytes for tensor in activations),
        output_bytes=sum(tensor.bytes for tensor in written),
        inputs=inputs,
        outputs=outputs,
    )


def _filters(kind: str, read: list[Tensor]) -> Tensor | None:
    """The weights of a convolution (outputs, height, width, inputs) or of a dense layer (outputs, inputs)."""
    if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"):
        return None
    if len(read) < 2 or (kind != "BATCH_MATMUL" and len(read[1].shape) != (4 if "CONV" in kind else 2)):
        raise ValueError(f"{kind} without weights of the right shape")
    return read[1]


def _kind(kind: str, filters: Tensor | None, source: str) -> str:
    if kind != "CONV_2D" or filters is None:
        return KINDS.get(kind, "other")
    if filters.name == GATHERER:
        return "layout"
    if source == ROWS:
        return "convkxk"
    _, height, width, _ = filters.shape
    if height == width:
        return "conv1x1" if width == 1 else "convkxk"
    return "conv3x1" if width == 1 else "conv1x3" if height == 1 else "convkxk"


def _macs(kind: str, read: list[Tensor], written: list[Tensor], filters: Tensor | None) -> int:
    """Multiply-adds: what each output element sums up, times their number (of each input, for a transposed one)."""
    if filters is None or not written or filters.name == GATHERER:
        return 0
    if kind == "TRANSPOSE_CONV":
        source = read[2].shape if len(read) > 2 else ()
        return prod(source[:3]) * prod(filters.shape)
    if kind == "BATCH_MATMUL":
        return prod(written[0].shape) * read[0].shape[-1]
    if kind == "FULLY_CONNECTED":
        return prod(written[0].shape) * filters.shape[1]
    return prod(written[0].shape) * prod(filters.shape[1:3]) * (filters.shape[3] if kind == "CONV_2D" else 1)
