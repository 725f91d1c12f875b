"""Writing an ONNX graph node by node."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._libraries import import_onnx

OPSET, ML_OPSET = 17, 3
"""Versions of the operators, of ONNX and of its part for machine learning: those of ONNX Runtime
1.12 and newer. The nodes that are written here mean the same in all versions from 15 on."""

IR_VERSION = 8
"""Version of the file format that belongs to these."""


class Graph:
    """A graph that is being written: nodes in order, constants, inputs and outputs.

    Equal nodes and equal constants are written once.

    Parameters
    ----------
    opset : int, default=17
        Version of the operators.
    within : Graph, default=None
        The graph that this is a part of, a body of a loop, say: it holds the constants.
    prefix : str, default=""
        Of the names of tensors, which have to differ from those of the graph around.
    """

    def __init__(self, opset: int = OPSET, within: Graph | None = None, prefix: str = "") -> None:
        self.within, self.prefix = within, prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.opsets = {"": opset, "ai.onnx.ml": ML_OPSET}
        self._known: dict[Any, Any] = {}
        self._kinds: dict[str, np.dtype] = {}  # of tensors that were cast
        self._parts = 0

    def add(self, op: str, *inputs: str, domain: str = "", n_outputs: int = 1, **attributes: Any):
        """Write a node.

        Parameters
        ----------
        op : str
        *inputs : str
            Names of tensors; "" is an input that is left out.
        domain : str
        n_outputs : int
        **attributes
            Arrays are written as tensors.

        Returns
        -------
        output : str, or list of str with several outputs
        """
        helper, numpy_helper = import_onnx().helper, import_onnx().numpy_helper
        attributes = {
            name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
            for name, value in attributes.items()
        }
        node = helper.make_node(op, list(inputs), [], domain=domain, **attributes)
        key = (n_outputs, node.SerializeToString(deterministic=True))
        if key not in self._known:
            names = [f"{self.prefix}{op}_{len(self.nodes)}_{i}" for i in range(n_outputs)]
            node.output.extend(names)
            self.nodes.append(node)
            self._known[key] = names if n_outputs > 1 else names[0]
        return self._known[key]

    def constant(self, value: Any) -> str:
        """Write a constant; numbers that are neither integers nor strings are float64."""
        if self.within is not None:
            return self.within.constant(value)
        array = np.asarray(value)
        if array.dtype.kind in "US":
            array = array.astype(object)
        elif array.dtype.kind in "iub":
            array = array.astype(np.int64)
        elif array.dtype.kind == "f":
            array = array.astype(np.float64)
        name = f"constant_{len(self.constants)}"
        tensor = import_onnx().numpy_helper.from_array(array)
        key = tensor.SerializeToString(deterministic=True)
        if key not in self._known:
            tensor.name = self._known[key] = name
            self.constants.append(tensor)
        return self._known[key]

    def cast(self, tensor: str, kind: type | str) -> str:
        """The tensor as another type of numbers."""
        if tensor in self._kinds and self._kinds[tensor] == np.dtype(kind):
            return tensor
        helper = import_onnx().helper
        output = self.add("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
        self._kinds[output] = np.dtype(kind)
        return output

    def inline(self, model: Any, inputs: dict[str, str]) -> list[str]:
        """Write the nodes of another model.

        Parameters
        ----------
        model : onnx.ModelProto
        inputs : dict of str to str
            The tensor that each input of the model is to be.

        Returns
        -------
        outputs : list of str
        """
        from onnx.compose import add_prefix

        for opset in model.opset_import:
            ours = self.opsets.setdefault(opset.domain, opset.version)
            if opset.version > ours:
                raise ValueError(
                    f"it needs version {opset.version} of the operators of {opset.domain!r}, "
                    f"newer than {ours}"
                )
        prefix = f"part_{self._parts}_"
        self._parts += 1
        part = add_prefix(model, prefix).graph
        for given in part.input:
            name = given.name.removeprefix(prefix)
            if name in inputs:
                node = import_onnx().helper.make_node("Identity", [inputs[name]], [given.name])
                self.nodes.append(node)
        self.nodes.extend(part.node)
        self.constants.extend(part.initializer)
        return [output.name for output in part.output]

    def loop_body(self, carried: dict[str, str]) -> Any:
        """What is written here as the body of a loop without an end of its own.

        Parameters
        ----------
        carried : dict of str to str
            For each float64 tensor that the loop carries its name at the start of a step, and the
            tensor that it is at the end.

        Returns
        -------
        graph : onnx.GraphProto
        """
        helper, kinds = import_onnx().helper, import_onnx().TensorProto

        def info(name, kind, shape):
            return helper.make_tensor_value_info(self.prefix + name, kind, shape)

        numbers = [
            helper.make_tensor_value_info(name, kinds.DOUBLE, None)
            for names in (carried.keys(), carried.values())
            for name in names
        ]
        goes_on = info("goes_on", kinds.BOOL, [])
        same = helper.make_node("Identity", [goes_on.name], [self.prefix + "still"])
        return helper.make_graph(
            [*self.nodes, same],
            self.prefix + "body",
            [info("step", kinds.INT64, []), goes_on, *numbers[: len(carried)]],
            [info("still", kinds.BOOL, []), *numbers[len(carried) :]],
        )

    def declare_input(self, name: str, element_type: int, shape: list[Any]) -> str:
        """Write an input of the whole."""
        self.inputs.append(import_onnx().helper.make_tensor_value_info(name, element_type, shape))
        return name

    def declare_output(self, name: str, tensor: str, element_type: int, shape: Any) -> None:
        """Write an output of the whole."""
        helper = import_onnx().helper
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, element_type, shape))

    def model(self, name: str) -> Any:
        """The whole, without what no output needs.

        Returns
        -------
        model : onnx.ModelProto
        """
        helper = import_onnx().helper
        nodes, used = needed(self.nodes, {output.name for output in self.outputs})
        constants = [tensor for tensor in self.constants if tensor.name in used]
        graph = helper.make_graph(nodes, name, self.inputs, self.outputs, constants)
        domains = {node.domain for node in every_node(nodes)}
        opsets = [
            helper.make_opsetid(domain, version)
            for domain, version in self.opsets.items()
            if domain in domains or domain == ""
        ]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def needed(nodes: list[Any], wanted: set[str]) -> tuple[list[Any], set[str]]:
    """The nodes that some tensors are computed from, and all tensors that these use."""
    used, kept = set(wanted), []
    for node in reversed(nodes):
        if used.intersection(node.output):
            kept.append(node)
            for inner in every_node([node]):
                used.update(inner.input)
    return kept[::-1], used


def every_node(nodes: Any):
    """Nodes and those of the graphs inside them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from every_node(attribute.g.node)
