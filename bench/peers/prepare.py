#!/usr/bin/env python3
"""Makes what the comparison runs: a model as PyTorch directory, plain ONNX and ONNX fused by ONNX Runtime's optimizer.

    prepare.py --config CONFIG.json --out DIR [--weights HF_DIR] [--texts FILE]

Without --weights the model gets random weights from the configuration (BERT-base). The ONNX file has dynamic batch
and length and gives last_hidden_state: the body, which every peer runs the same.

For INT8: OpenVINO's file is quantized statically by NNCF with SmoothQuant, on the first 300 lines of --texts (on random ids
without); ONNX Runtime's dynamically, per channel, from the fused file; CTranslate2's is converted, and quantized when loaded;
PyTorch's when loaded.
"""
import argparse
import json
import pathlib

import ctranslate2
import nncf
import numpy as np
import onnx
import openvino
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel


class Body(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(input_ids=input_ids, attention_mask=attention_mask,
                          token_type_ids=token_type_ids).last_hidden_state


def calibration_ids(arguments):
    """300 token id arrays [1, length]."""
    if arguments.texts:
        tokenizer = AutoTokenizer.from_pretrained(arguments.weights)
        lines = pathlib.Path(arguments.texts).read_text().splitlines()[:300]
        return [np.asarray([tokenizer(line, truncation=True, max_length=512)["input_ids"]], dtype=np.int64)
                for line in lines]
    generator = np.random.default_rng(0)
    return [generator.integers(1000, 29000, (1, 64), dtype=np.int64) for _ in range(300)]


def quantize(out, arguments):
    quantize_dynamic(str(out / "fused.onnx"), str(out / "int8.onnx"), per_channel=True, weight_type=QuantType.QInt8,
                     extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT})
    feeds = [{"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
             for ids in calibration_ids(arguments)]
    model = openvino.Core().read_model(str(out / "model.onnx"))
    names = {i.any_name for i in model.inputs}
    data = nncf.Dataset([{n: v for n, v in feed.items() if n in names} for feed in feeds])
    quantized = nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=300)
    openvino.save_model(quantized, str(out / "int8.xml"), compress_to_fp16=False)
    config = out / "torch" / "config.json"  # the converter asks for a key that transformers 5 no longer writes
    config.write_text(json.dumps({"position_embedding_type": "absolute"} | json.loads(config.read_text())))
    ctranslate2.converters.TransformersConverter(str(out / "torch")).convert(str(out / "ctranslate2"), force=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config")
    parser.add_argument("--weights")
    parser.add_argument("--texts")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    if arguments.texts and not arguments.weights:
        parser.error("--texts needs the tokenizer of --weights")
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    if arguments.weights:
        model = AutoModel.from_pretrained(arguments.weights, attn_implementation="eager", dtype=torch.float32)
    else:
        config = BertConfig(**json.loads(pathlib.Path(arguments.config).read_text()))
        config._attn_implementation = "eager"
        model = BertModel(config, add_pooling_layer=False)
    model.eval()
    model.save_pretrained(out / "torch")
    ids = torch.ones(2, 16, dtype=torch.int64)
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(Body(model), (ids, torch.ones_like(ids), torch.zeros_like(ids)), str(out / "model.onnx"),
                      input_names=["input_ids", "attention_mask", "token_type_ids"],
                      output_names=["last_hidden_state"], dynamo=False, opset_version=17,
                      dynamic_axes={"input_ids": axes, "attention_mask": axes, "token_type_ids": axes,
                                    "last_hidden_state": axes})
    options = FusionOptions("bert")
    fused = optimizer.optimize_model(str(out / "model.onnx"), model_type="bert", opt_level=1,
                                     num_heads=model.config.num_attention_heads,
                                     hidden_size=model.config.hidden_size, optimization_options=options)
    fused.save_model_to_file(str(out / "fused.onnx"))
    counts = fused.get_fused_operator_statistics()
    print(json.dumps(counts))
    layers = model.config.num_hidden_layers
    attention = counts.get("Attention", 0) + counts.get("MultiHeadAttention", 0)
    gelu = counts.get("BiasGelu", 0) + counts.get("Gelu", 0) + counts.get("FastGelu", 0)
    if attention != layers or gelu != layers:
        raise SystemExit(f"the optimizer fused {attention} of {layers} attentions and {gelu} of {layers} GELUs")
    quantize(out, arguments)


if __name__ == "__main__":
    main()
