"""Arithmetic on arrays that becomes the nodes of an ONNX graph, in the precision that is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vae_anomaly.errors import NotInstalled

Array: TypeAlias = npt.NDArray[Any]
Number: TypeAlias = "Value | Array | float"

FLOAT, DOUBLE, INTEGER, FLAG = (np.dtype(name) for name in ("float32", "float64", "int64", "bool"))
# What is known when the graph is made is computed then.
FOLDED: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "Ceil": np.ceil,
    "Div": np.divide,
    "Equal": np.equal,
    "Exp": np.exp,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": np.log,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Where": np.where,
}


@dataclass(frozen=True, eq=False)
class Value:
    """An array of a graph: an input, a constant, or what an operation gives.

    Parameters
    ----------
    graph : Graph
    name : str
    dtype : numpy.dtype
        Of its numbers; nothing is converted unless `to` says so.
    array : ndarray, optional
        Where it is a constant.
    """

    graph: Graph
    name: str
    dtype: np.dtype[Any]
    array: Array | None = None
    # An array on the left leaves the operation to the value.
    __array_ufunc__: ClassVar[None] = None

    def __add__(self, other: Number) -> Value:
        return self._with("Add", other)

    def __radd__(self, other: Number) -> Value:
        return self._with("Add", other)

    def __sub__(self, other: Number) -> Value:
        return self._with("Sub", other)

    def __rsub__(self, other: Array | float) -> Value:
        return self.graph.op("Sub", self._like(other), self)

    def __mul__(self, other: Number) -> Value:
        return self._with("Mul", other)

    def __rmul__(self, other: Number) -> Value:
        return self._with("Mul", other)

    def __truediv__(self, other: Number) -> Value:
        return self._with("Div", other)

    def __rtruediv__(self, other: Array | float) -> Value:
        return self.graph.op("Div", self._like(other), self)

    def __neg__(self) -> Value:
        return self.graph.op("Neg", self)

    def __lt__(self, other: Any) -> Value:
        return self._compared("Less", other)

    def __le__(self, other: Any) -> Value:
        return self._compared("LessOrEqual", other)

    def __gt__(self, other: Any) -> Value:
        return self._compared("Greater", other)

    def __ge__(self, other: Any) -> Value:
        return self._compared("GreaterOrEqual", other)

    def equals(self, other: Number) -> Value:
        """Where two are equal."""
        return self._compared("Equal", other)

    def __and__(self, other: Value) -> Value:
        return self._with("And", other)

    def __or__(self, other: Value) -> Value:
        return self._with("Or", other)

    def __invert__(self) -> Value:
        return self.graph.op("Not", self)

    def exp(self) -> Value:
        """The exponential."""
        return self.graph.op("Exp", self)

    def log(self) -> Value:
        """The natural logarithm."""
        return self.graph.op("Log", self)

    def sqrt(self) -> Value:
        """The square root."""
        return self.graph.op("Sqrt", self)

    def square(self) -> Value:
        """The square."""
        return self * self

    def abs(self) -> Value:
        """The absolute value."""
        return self.graph.op("Abs", self)

    def floor(self) -> Value:
        """The next whole number below."""
        return self.graph.op("Floor", self)

    def ceil(self) -> Value:
        """The next whole number above."""
        return self.graph.op("Ceil", self)

    def at_least(self, low: Number) -> Value:
        """The larger of two."""
        return self._with("Max", low)

    def at_most(self, high: Number) -> Value:
        """The smaller of two."""
        return self._with("Min", high)

    def to(self, dtype: np.dtype[Any]) -> Value:
        """The same numbers in another precision, rounded to the nearest."""
        if dtype == self.dtype:
            return self
        if self.array is not None:
            return self.graph.constant(self.array.astype(dtype))
        return self.graph.node("Cast", [self], dtype, to=self.graph.code_of(dtype))

    def where(self, this: Number, other: Number) -> Value:
        """One number where this is true, else another."""
        example = next(number for number in (this, other) if isinstance(number, Value))
        this, other = (number if isinstance(number, Value) else example._like(number) for number in (this, other))
        return self.graph.op("Where", self, this, other)

    def is_nan(self) -> Value:
        """Where it is no number."""
        return self.graph.node("IsNaN", [self], FLAG)

    def matmul(self, matrix: Number) -> Value:
        """The product with a matrix."""
        return self._with("MatMul", matrix)

    def take(self, indices: Array | Value, axis: int) -> Value:
        """Some of its slices along an axis."""
        if self.array is not None and not isinstance(indices, Value):
            return self.graph.constant(np.take(self.array, indices, axis))
        chosen = indices if isinstance(indices, Value) else self.graph.constant(np.asarray(indices, dtype=np.int64))
        return self.graph.node("Gather", [self, chosen], self.dtype, axis=axis)

    def columns(self, indices: Sequence[int], n_columns: int) -> Value:
        """Some of `n_columns` along the last axis; the same value where they are all of them in order."""
        return self if list(indices) == list(range(n_columns)) else self.take(np.array(indices), -1)

    def with_axis(self, axis: int) -> Value:
        """With an axis of one element more."""
        if self.array is not None:
            return self.graph.constant(np.expand_dims(self.array, axis))
        return self.graph.node("Unsqueeze", [self, self.graph.constant(np.array([axis]))], self.dtype)

    def reshaped(self, shape: Sequence[int]) -> Value:
        """In another shape: 0 stands for the size that an axis has, -1 for what is left."""
        return self.graph.node("Reshape", [self, self.graph.constant(np.array(shape, dtype=np.int64))], self.dtype)

    def sum(self, *axes: int) -> Value:
        """The sum over some axes."""
        return self._reduced("ReduceSum", axes)

    def max(self, axis: int) -> Value:
        """The largest number along an axis, which stays."""
        return self._reduced("ReduceMax", (axis,), keepdims=1)

    def logsumexp(self, axis: int) -> Value:
        """The logarithm of the sum of exponentials along an axis."""
        largest = self.max(axis)
        total = (self - largest).exp()._reduced("ReduceSum", (axis,), keepdims=1).log() + largest
        return self.graph.node("Squeeze", [total, self.graph.constant(np.array([axis]))], self.dtype)

    def unary(self, operation: str, **attributes: Any) -> Value:
        """Any other operation of ONNX on it alone that keeps the type."""
        return self.graph.node(operation, [self], self.dtype, **attributes)

    def _reduced(self, operation: str, axes: Sequence[int], keepdims: int = 0) -> Value:
        along = self.graph.constant(np.array(axes, dtype=np.int64))
        return self.graph.node(operation, [self, along], self.dtype, keepdims=keepdims)

    def _like(self, number: Array | float) -> Value:
        return self.graph.constant(np.asarray(number, dtype=self.dtype))

    def _with(self, operation: str, other: Number) -> Value:
        return self.graph.op(operation, self, other if isinstance(other, Value) else self._like(other))

    def _compared(self, operation: str, other: Number) -> Value:
        return self.graph.op(operation, self, other if isinstance(other, Value) else self._like(other), dtype=FLAG)


class Graph:
    """Nodes of an ONNX graph as they are written down; what is written twice is computed once.

    Attributes
    ----------
    opset : int
        The version of the operations.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._nodes: list[Any] = []
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._found: dict[tuple[Any, ...], Value] = {}
        self._inputs: list[Any] = []

    @staticmethod
    def code_of(dtype: np.dtype[Any]) -> int:
        """What ONNX calls a type of numbers."""
        return int(onnx_library().helper.np_dtype_to_tensor_dtype(dtype))

    def input(self, name: str, dtype: np.dtype[Any], shape: Sequence[int | str]) -> Value:
        """An input; an axis with a name may have any size."""
        self._inputs.append(onnx_library().helper.make_tensor_value_info(name, self.code_of(dtype), list(shape)))
        return Value(self, name, dtype)

    def constant(self, array: Array) -> Value:
        """An array that is part of the file where a node needs it."""
        array = np.asarray(array, order="C")
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = Value(self, f"constant_{len(self._constants)}", array.dtype, array)
        return self._constants[key]

    def op(self, operation: str, *values: Value, dtype: np.dtype[Any] | None = None) -> Value:
        """An operation on numbers of one type.

        Raises
        ------
        TypeError
            If the types differ: precision is never chosen by chance.
        """
        numbers = values[1:] if operation == "Where" else values
        if len({value.dtype for value in numbers}) > 1:
            raise TypeError(f"{operation} of {', '.join(str(value.dtype) for value in numbers)}")
        arrays = [value.array for value in values if value.array is not None]
        if len(arrays) == len(values) and operation in FOLDED:
            with np.errstate(all="ignore"):
                folded = np.asarray(FOLDED[operation](*arrays))
            return self.constant(folded.astype(dtype or numbers[0].dtype))
        return self.node(operation, values, dtype or numbers[0].dtype)

    def node(self, operation: str, values: Sequence[Value], dtype: np.dtype[Any], **attributes: Any) -> Value:
        """One operation with one result."""
        return self.nodes(operation, values, dtype, 1, **attributes)[0]

    def nodes(
        self, operation: str, values: Sequence[Value], dtype: np.dtype[Any], n_results: int, **attributes: Any
    ) -> list[Value]:
        """One operation with several results."""
        names = [value.name for value in values]
        key = (operation, *names, n_results, *sorted(attributes.items()))
        if key not in self._found:
            first = f"{operation}_{len(self._nodes)}"
            results = [first, *(f"{first}_{place}" for place in range(1, n_results))]
            self._nodes.append(onnx_library().helper.make_node(operation, names, results, name=first, **attributes))
            self._found[key] = [Value(self, result, dtype) for result in results]  # type: ignore[assignment]
        return self._found[key]  # type: ignore[return-value]

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Values of one type one after the other."""
        return values[0] if len(values) == 1 else self.node("Concat", values, values[0].dtype, axis=axis)

    def split(self, value: Value, sizes: Sequence[int], axis: int) -> list[Value]:
        """Parts of these sizes along an axis."""
        if len(sizes) == 1:
            return [value]
        parts = self.constant(np.array(sizes, dtype=np.int64))
        return self.nodes("Split", [value, parts], value.dtype, len(sizes), axis=axis)

    def serialized(
        self, outputs: Mapping[str, tuple[Value, Sequence[int | str]]], metadata: Mapping[str, str]
    ) -> bytes:
        """The graph with these outputs, and text beside it, as the content of an ONNX file."""
        onnx = onnx_library()
        helper = onnx.helper
        named = [helper.make_node("Identity", [value.name], [name], name=name) for name, (value, _) in outputs.items()]
        results = [
            helper.make_tensor_value_info(name, self.code_of(value.dtype), list(shape))
            for name, (value, shape) in outputs.items()
        ]
        nodes = _needed([*self._nodes, *named], list(outputs))
        read = {name for node in nodes for name in node.input}
        constants = [
            onnx.numpy_helper.from_array(value.array, value.name)
            for value in self._constants.values()
            if value.name in read and value.array is not None
        ]
        graph = helper.make_graph(nodes, "vae_anomaly", self._inputs, results, constants)
        opset = helper.make_opsetid("", self.opset)
        model = helper.make_model(graph, opset_imports=[opset], producer_name="vae-anomaly")
        model.ir_version = helper.find_min_ir_version_for([opset])
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def as_array(tensor: Tensor) -> Array:
    """A tensor of a model as an array."""
    array: Array = tensor.detach().cpu().numpy()
    return array


def onnx_library() -> Any:
    """The library that writes ONNX files.

    Raises
    ------
    NotInstalled
        Without it.
    """
    try:
        import onnx
    except ImportError as error:
        raise NotInstalled("onnx", "onnx") from error
    return onnx


def _needed(nodes: Sequence[Any], outputs: Sequence[str]) -> list[Any]:
    """The nodes that the outputs depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]
