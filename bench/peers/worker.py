#!/usr/bin/env python3
"""One peer, loaded once, timed on demand: reads a line of JSON {"seconds": S}, answers {"samples_per_s": R}.

    worker.py --engine ENGINE --precision fp32|int8 --model DIR --threads T
              (--batch B --seq S | --lengths FILE --batch B [--sorted])

A pass is one batch of B sequences of S tokens, or every length of the file once in batches of B (in the file's
order, or sorted by length), padded to the longest of each batch, as that engine needs.
"""
import argparse
import json
import os
import pathlib
import sys
import time

import numpy as np


def make_batches(arguments):
    generator = np.random.default_rng(0)
    if arguments.lengths:
        lengths = [int(line) for line in pathlib.Path(arguments.lengths).read_text().split()]
        if arguments.sorted:
            lengths.sort()
        groups = [lengths[i:i + arguments.batch] for i in range(0, len(lengths), arguments.batch)]
    else:
        groups = [[arguments.seq] * arguments.batch]
    batches = []
    for group in groups:
        longest = max(group)
        ids = generator.integers(1000, 29000, (len(group), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, length in enumerate(group):
            mask[row, :length] = 1
        batches.append((ids * mask, mask, np.zeros_like(ids)))
    return batches


def load_onnxruntime(arguments):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    file = pathlib.Path(arguments.model) / ("int8.onnx" if arguments.precision == "int8" else "fused.onnx")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    types = {i.name: np.int32 if "int32" in i.type else np.int64 for i in session.get_inputs()}

    def prepare(batch):
        return {n: v.astype(types[n]) for n, v in zip(["input_ids", "attention_mask", "token_type_ids"], batch) if n in names}

    return prepare, lambda feed: session.run(None, feed)


def load_openvino(arguments):
    import openvino
    core = openvino.Core()
    model = core.read_model(str(pathlib.Path(arguments.model) / ("int8.xml" if arguments.precision == "int8" else "model.onnx")))
    if not arguments.lengths:
        model.reshape({i.any_name: [arguments.batch, arguments.seq] for i in model.inputs})
    compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32",
                                                 "INFERENCE_NUM_THREADS": arguments.threads})
    request = compiled.create_infer_request()
    names = [i.any_name for i in compiled.inputs]

    def prepare(batch):
        return {n: v for n, v in zip(["input_ids", "attention_mask", "token_type_ids"], batch) if n in names}

    return prepare, lambda feed: request.infer(feed, share_inputs=True, share_outputs=True)


def load_pytorch(arguments):
    import torch
    from transformers import BertModel
    torch.set_num_threads(arguments.threads)
    model = BertModel.from_pretrained(pathlib.Path(arguments.model) / "torch", attn_implementation="sdpa",
                                      add_pooling_layer=False).eval()
    if arguments.precision == "int8":
        torch.backends.quantized.engine = "x86"
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

    def prepare(batch):
        ids, mask, types = (torch.from_numpy(a) for a in batch)
        full = bool(mask.all())
        return {"input_ids": ids, "attention_mask": None if full else mask, "token_type_ids": types}

    def run(feed):
        with torch.inference_mode():
            model(**feed)

    return prepare, run


def load_ctranslate2(arguments):
    import ctranslate2
    encoder = ctranslate2.Encoder(str(pathlib.Path(arguments.model) / "ctranslate2"), device="cpu",
                                  compute_type="int8" if arguments.precision == "int8" else "float32",
                                  inter_threads=1, intra_threads=arguments.threads)

    def prepare(batch):
        ids, mask, _ = batch
        # It pads by itself.
        return {"ids": [row[:int(kept.sum())].tolist() for row, kept in zip(ids, mask)]}

    return prepare, lambda feed: np.asarray(encoder.forward_batch(feed["ids"]).last_hidden_state)


ENGINES = {"onnxruntime": load_onnxruntime, "openvino": load_openvino, "pytorch": load_pytorch,
           "ctranslate2": load_ctranslate2}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--precision", choices=["fp32", "int8"], default="fp32")
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int)
    parser.add_argument("--lengths")
    parser.add_argument("--sorted", action="store_true")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    prepare, run = ENGINES[arguments.engine](arguments)
    feeds = [prepare(batch) for batch in make_batches(arguments)]
    samples = sum(len(next(iter(f.values()))) for f in feeds)
    for feed in feeds:
        run(feed)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        seconds = json.loads(line)["seconds"]
        rates, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end or not rates:
            begin = time.perf_counter()
            for feed in feeds:
                run(feed)
            rates.append(samples / (time.perf_counter() - begin))
        print(json.dumps({"samples_per_s": float(np.median(rates))}), flush=True)


if __name__ == "__main__":
    main()
