#!/usr/bin/env python3
"""Makes what the comparison runs: a model as PyTorch directory, plain ONNX and ONNX fused by ONNX Runtime's optimizer.

    prepare.py --config CONFIG.json --out DIR [--weights HF_DIR]

Without --weights the model gets random weights from the configuration (BERT-base). The ONNX file has dynamic batch
and length and gives last_hidden_state: the body, which every peer runs the same.
"""
import argparse
import json
import pathlib

import torch
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from transformers import AutoModel, BertConfig, BertModel


class Body(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(input_ids=input_ids, attention_mask=attention_mask,
                          token_type_ids=token_type_ids).last_hidden_state


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config")
    parser.add_argument("--weights")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
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


if __name__ == "__main__":
    main()
