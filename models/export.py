"""Exports a trained network through Optimum to int8 ONNX, and measures parity."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer as graph_optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from optimum.exporters.onnx import export
from optimum.exporters.onnx.model_configs import BertOnnxConfig
from torch import Tensor, nn

from models.network import Student
from models.scope import ScopeScore

OPSET: Final = 17
HEADS: Final = 12
WIDTH: Final = 384


class Served(nn.Module):
    """What the edge runs: token ids and mask in, named answers out."""

    def __init__(self, student: Student, score: ScopeScore, signals: tuple[str, ...]) -> None:
        """`signals` are the network's single-logit heads in order, `out_of_scope` first."""
        super().__init__()
        self.student = student
        self.score = score
        self.signals = signals
        self.config = student.encoder.config
        self.config._attn_implementation = "eager"

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        outputs = self.student(input_ids, attention_mask)
        named = {"embedding": outputs.embedding, "route": outputs.route}
        named["out_of_scope"] = self.score(outputs, outputs.signals[:, 0])
        for index, name in enumerate(self.signals[1:], start=1):
            named[name] = outputs.signals[:, index : index + 1]
        return named


class ServedConfig(BertOnnxConfig):  # type: ignore[misc]
    """Names and free axes of the exported graph."""

    def __init__(self, config: Any, *, read: tuple[str, ...], names: tuple[str, ...]) -> None:
        super().__init__(config, task="feature-extraction")
        self.read = read
        self.names = names

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {name: {0: "batch_size", 1: "sequence_length"} for name in self.read}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {name: {0: "batch_size"} for name in self.names}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """How far two runs of the network lie apart over some texts."""

    cosine: float
    """Smallest cosine of the two embeddings."""
    route_agreement: float
    """Share of texts with the same best route."""


def export_int8(served: Served, directory: Path) -> tuple[Path, Path]:
    """Writes an encoder bundle's `fp32.onnx` and the per-channel int8 `model.onnx`; returns both paths."""
    names = ("embedding", "route", "out_of_scope", *served.signals[1:])
    return quantized(served, directory, inputs=("input_ids", "attention_mask"), outputs=names)


def quantized(
    served: nn.Module, directory: Path, *, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> tuple[Path, Path]:
    """Writes `fp32.onnx` and the per-channel int8 `model.onnx` of a BERT-like network with a `config`."""
    directory.mkdir(parents=True, exist_ok=True)
    plain = directory / "plain.onnx"
    config = ServedConfig(served.config, read=inputs, names=outputs)
    export(served.eval(), config, plain, opset=OPSET)
    fusions = FusionOptions("bert")
    # Onnxruntime's fused kernel takes four times what an addition and a LayerNormalization take.
    fusions.enable_skip_layer_norm = False
    fusions.enable_bias_skip_layer_norm = False
    fused = graph_optimizer.optimize_model(
        str(plain), "bert", num_heads=HEADS, hidden_size=WIDTH, opt_level=0, optimization_options=fusions
    )
    reference = directory / "fp32.onnx"
    fused.save_model_to_file(str(reference))
    plain.unlink()
    model = directory / "model.onnx"
    # onnxruntime's own call: Optimum's quantizer cannot name the type of the fused nodes' outputs.
    quantize_dynamic(
        reference,
        model,
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT, "WeightSymmetric": True},
    )
    return reference, model


def parity(first: Path, second: Path, rows: list[list[int]]) -> Parity:
    """Compares two exported graphs, one text a pass as the edge runs them."""
    embeddings, routes = [], []
    for path in (first, second):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        answers = []
        for row in rows:
            ids = np.asarray([row], dtype=np.int64)
            feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            answers.append(session.run(["embedding", "route"], feeds))
        embeddings.append(np.concatenate([answer[0] for answer in answers]))
        routes.append(np.concatenate([answer[1] for answer in answers]).argmax(1))
    return Parity(
        cosine=float((embeddings[0] * embeddings[1]).sum(1).min()),
        route_agreement=float((routes[0] == routes[1]).mean()),
    )


def torch_parity(served: Served, exported: Path, rows: list[list[int]]) -> float:
    """Largest difference of any route logit between the torch network and an exported graph."""
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    worst = 0.0
    for row in rows:
        ids = torch.tensor([row])
        with torch.no_grad():
            expected = served(ids, torch.ones_like(ids))["route"].numpy()
        feeds = {"input_ids": ids.numpy(), "attention_mask": np.ones_like(ids.numpy())}
        worst = max(worst, float(np.abs(session.run(["route"], feeds)[0] - expected).max()))
    return worst
