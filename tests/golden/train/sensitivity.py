#!/usr/bin/env python3
"""What heads and neurons of ../models/bert-sequence are worth by PyTorch's gradients, in float64.

    pip install -r requirements.txt && python sensitivity.py

sensitivity.jsonl holds labelled rows; sensitivity.json the size of a batch and for each layer, before anything is normalised, heads: the
sum over batches of |dL/d mask|, the gradient by autograd of masks that multiply what each head gives; neurons: that of
|sum over inputs of g w| of the first product; and which half of the heads, where the
layers' norms decide, and which 20 % of the neurons go over all layers.
"""

import json
import os
import random

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import torch.nn.functional as F
import transformers as hf

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "models", "bert-sequence")
ROWS, BATCH, HEADS, NEURONS = 23, 4, 0.5, 0.2


def make_rows():
    generator = random.Random(5)
    rows = [[generator.randrange(1, 41) for _ in range(generator.randint(3, 20))] for _ in range(ROWS)]
    return [{"ids": ids, "label": (ids[0] + ids[-1]) % 3} for ids in rows]


def find_least(values, share):
    """Places of the least share, layer by layer."""
    flat = [(v, layer, place) for layer, row in enumerate(values) for place, v in enumerate(row)]
    gone = [[] for _ in values]
    for _, layer, place in sorted(flat)[: round(share * len(flat))]:
        gone[layer].append(place)
    return [sorted(g) for g in gone]


def main():
    hf.logging.set_verbosity_error()
    rows = make_rows()
    model = hf.BertForSequenceClassification.from_pretrained(FOLDER, attn_implementation="eager").double().eval()
    layers, heads = model.bert.encoder.layer, model.config.num_attention_heads
    masks = [torch.ones(heads, dtype=torch.float64, requires_grad=True) for _ in layers]
    for layer, mask in zip(layers, masks):
        layer.attention.output.dense.register_forward_pre_hook(
            lambda _, x, m=mask: (x[0] * m.repeat_interleave(x[0].shape[-1] // heads),))
    head_sums = [torch.zeros(heads, dtype=torch.float64) for _ in layers]
    neuron_sums = [torch.zeros(model.config.intermediate_size, dtype=torch.float64) for _ in layers]
    for begin in range(0, ROWS, BATCH):
        batch = rows[begin : begin + BATCH]
        width = max(len(r["ids"]) for r in batch)
        ids = torch.tensor([r["ids"] + [0] * (width - len(r["ids"])) for r in batch])
        attention = torch.tensor([[1] * len(r["ids"]) + [0] * (width - len(r["ids"])) for r in batch])
        model.zero_grad()
        for mask in masks:
            mask.grad = None
        F.cross_entropy(model(input_ids=ids, attention_mask=attention).logits, torch.tensor([r["label"] for r in batch])).backward()
        for i, layer in enumerate(layers):
            head_sums[i] += masks[i].grad.abs()
            weight = layer.intermediate.dense.weight
            neuron_sums[i] += (weight.grad * weight.detach()).sum(1).abs()
    normal = [(s / s.norm()).tolist() for s in head_sums]
    neurons = [s.tolist() for s in neuron_sums]
    with open(os.path.join(HERE, "sensitivity.jsonl"), "w") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
    with open(os.path.join(HERE, "sensitivity.json"), "w") as file:
        json.dump({"batch": BATCH, "heads": [s.tolist() for s in head_sums], "neurons": neurons,
                   "heads_gone": find_least(normal, HEADS), "neurons_gone": find_least(neurons, NEURONS)}, file, separators=(",", ":"))
        file.write("\n")
    print("heads", normal)


main()
