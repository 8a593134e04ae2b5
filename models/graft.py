"""Adds a fitted head to an ONNX file without the onnx package.

An ONNX file is one protobuf message, and protobuf merges messages that stand one after another:
nodes, weights and outputs appended to the file join the graph that is there (Protocol Buffers
encoding guide, "Last One Wins": repeated fields concatenate, embedded messages merge).
"""

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.float32]

# Field numbers of onnx.proto3.
_MODEL_GRAPH: Final = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_OUTPUT = 1, 5, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_TYPE, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS, _ATTRIBUTE_TYPE = 1, 8, 20
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR = 1, 2, 1
_TENSOR_TYPE_ELEMENT, _TENSOR_TYPE_SHAPE, _SHAPE_DIM = 1, 2, 1
_DIM_VALUE, _DIM_NAME = 1, 2
_FLOAT: Final = 1
_INTS: Final = 7


def with_head(
    model: bytes, *, route: tuple[Floats32, Floats32], prototypes: Floats32, scope: tuple[float, float, float]
) -> bytes:
    """The network with outputs `fitted_route` and `fitted_out_of_scope` on its `embedding`.

    `route` is a weight (384, labels) and a bias (labels,), `prototypes` (384, n) are unit-norm
    columns, and the out-of-scope logit is `scope[0]` times minus the log-sum-exp of the route logits,
    plus `scope[1]` times minus the nearest prototype's cosine, plus `scope[2]`.
    """
    weight, bias = route
    energy, near, offset = scope
    initializers = {
        "fitted_weight": weight,
        "fitted_bias": bias,
        "fitted_prototypes": prototypes,
        "fitted_energy_weight": np.array([-energy], dtype=np.float32),
        "fitted_near_weight": np.array([-near], dtype=np.float32),
        "fitted_offset": np.array([offset], dtype=np.float32),
    }
    nodes = [
        _node("MatMul", ["embedding", "fitted_weight"], "fitted_products"),
        _node("Add", ["fitted_products", "fitted_bias"], "fitted_route"),
        _node("ReduceLogSumExp", ["fitted_route"], "fitted_energy", axes=[1]),
        _node("MatMul", ["embedding", "fitted_prototypes"], "fitted_cosines"),
        _node("ReduceMax", ["fitted_cosines"], "fitted_near", axes=[1]),
        _node("Mul", ["fitted_energy", "fitted_energy_weight"], "fitted_energy_part"),
        _node("Mul", ["fitted_near", "fitted_near_weight"], "fitted_near_part"),
        _node("Add", ["fitted_energy_part", "fitted_near_part"], "fitted_parts"),
        _node("Add", ["fitted_parts", "fitted_offset"], "fitted_out_of_scope"),
    ]
    graph = b"".join(
        [
            *(_bytes(_GRAPH_NODE, node) for node in nodes),
            *(_bytes(_GRAPH_INITIALIZER, _tensor(name, array)) for name, array in initializers.items()),
            _bytes(_GRAPH_OUTPUT, _output("fitted_route", weight.shape[1])),
            _bytes(_GRAPH_OUTPUT, _output("fitted_out_of_scope", 1)),
        ]
    )
    return model + _bytes(_MODEL_GRAPH, graph)


def _node(kind: str, inputs: Sequence[str], output: str, axes: Sequence[int] = ()) -> bytes:
    parts = [_text(_NODE_INPUT, name) for name in inputs]
    parts += [_text(_NODE_OUTPUT, output), _text(_NODE_NAME, f"{output}_node"), _text(_NODE_TYPE, kind)]
    if axes:
        attribute = _text(_ATTRIBUTE_NAME, "axes") + b"".join(_number(_ATTRIBUTE_INTS, axis) for axis in axes)
        parts.append(_bytes(_NODE_ATTRIBUTE, attribute + _number(_ATTRIBUTE_TYPE, _INTS)))
    return b"".join(parts)


def _tensor(name: str, array: Floats32) -> bytes:
    dims = b"".join(_number(_TENSOR_DIMS, size) for size in array.shape)
    raw = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return dims + _number(_TENSOR_TYPE, _FLOAT) + _text(_TENSOR_NAME, name) + _bytes(_TENSOR_RAW, raw)


def _output(name: str, width: int) -> bytes:
    dims = [_text(_DIM_NAME, "batch_size"), _number(_DIM_VALUE, width)]
    shape = b"".join(_bytes(_SHAPE_DIM, dim) for dim in dims)
    tensor = _number(_TENSOR_TYPE_ELEMENT, _FLOAT) + _bytes(_TENSOR_TYPE_SHAPE, shape)
    return _text(_VALUE_NAME, name) + _bytes(_VALUE_TYPE, _bytes(_TYPE_TENSOR, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    out += struct.pack("B", value)
    return bytes(out)
