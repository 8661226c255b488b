#!/usr/bin/env python3
"""Losses and gradients of the checkpoints in ../models by PyTorch's autograd, in float64 over the stored weights.

    pip install -r requirements.txt && python make.py [--minilm ../../../../shared/models/minilm-sst2]

golden.json holds a case each: the checkpoint, what the loss is, a batch (sequences without padding), the loss, and the parameters'
names and sizes; golden.f32 holds of each parameter's gradient, one case after the other, its L2 norm, its largest magnitude and 64
elements, at the places that `get_places` gives. Dropout is off. No sequence has the padding id, whose row PyTorch leaves out.
"""

import argparse
import json
import os
import zlib

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
import torch.nn.functional as F
import transformers as hf
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "models")
LENGTHS = [7, 1, 19, 2, 12, 5]
SAMPLES = 64

# name: (folder, what the loss is, options)
CASES = {
    "bert-sequence": ("bert-sequence", "classes", {}),
    "bert-sequence-smoothed": ("bert-sequence", "classes", {"label_smoothing": 0.15, "class_weights": [0.5, 2.0, 1.25]}),
    "bert-silu": ("bert-silu", "classes", {}),
    "bert-gelu-new": ("bert-gelu-new", "classes", {}),
    "bert-relu-epsilon": ("bert-relu-epsilon", "classes", {}),
    "bert-token": ("bert-token", "tokens", {}),
    "bert-question": ("bert-question", "spans", {}),
    "bert-masked": ("bert-masked", "rows", {}),
    "bert-masked-untied": ("bert-masked-untied", "rows", {}),
    "bert-multi-label": ("bert-multi-label", "probabilities", {}),
    "bert-regression": ("bert-regression", "numbers", {}),
    "cross-encoder": ("cross-encoder", "probabilities", {}),
    "roberta-sequence": ("roberta-sequence", "classes", {}),
    "roberta-masked": ("roberta-masked", "rows", {}),
    "xlm-roberta-sequence": ("xlm-roberta-sequence", "classes", {}),
    "camembert-token": ("camembert-token", "tokens", {}),
    "distilbert-sequence": ("distilbert-sequence", "classes", {}),
    "distilbert-masked": ("distilbert-masked", "rows", {}),
    "electra-sequence": ("electra-sequence", "classes", {}),
    "electra-question": ("electra-question", "spans", {}),
    "electra-masked": ("electra-masked", "rows", {}),
    "sentence-mean-normalize": ("sentence-mean-normalize", "cosines", {}),
    "sentence-mean-contrastive": ("sentence-mean-normalize", "pairs", {"temperature": 0.05}),
    "sentence-cls-dense-contrastive": ("sentence-cls-dense-normalize", "pairs", {"temperature": 0.2}),
    "sentence-max-dense": ("sentence-max-dense", "cosines", {}),
}


class Sentence(torch.nn.Module):
    """The body and the modules of a sentence-transformers folder, parameters named as there."""

    def __init__(self, folder):
        super().__init__()
        self.body = hf.BertModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False)
        self.config = self.body.config
        with open(os.path.join(folder, "1_Pooling", "config.json")) as file:
            config = json.load(file)
        self.mode = config.get("pooling_mode") or next(
            k[len("pooling_mode_"):].split("_")[0] for k, v in config.items() if k.startswith("pooling_mode_") and v)
        self.dense, self.activation, self.normalize = None, None, any("Normalize" in f for f in os.listdir(folder))
        path = os.path.join(folder, "2_Dense")
        if os.path.isdir(path):
            weights = load_file(os.path.join(path, "model.safetensors"))
            self.dense = torch.nn.Linear(*reversed(weights["linear.weight"].shape), bias="linear.bias" in weights)
            self.dense.load_state_dict({k[len("linear."):]: v for k, v in weights.items()})
            with open(os.path.join(path, "config.json")) as file:
                self.activation = torch.tanh if "Tanh" in json.load(file)["activation_function"] else None

    def forward(self, **arguments):
        x = self.body(**arguments).last_hidden_state[0]
        x = {"mean": x.mean(0), "cls": x[0], "max": x.max(0).values}[self.mode]
        if self.dense is not None:
            x = self.dense(x)
            x = self.activation(x) if self.activation else x
        return F.normalize(x, dim=0) if self.normalize else x

    def named(self):
        for name, parameter in self.body.named_parameters():
            yield name, parameter
        if self.dense is not None:
            for name, parameter in self.dense.named_parameters():
                yield "2_Dense.linear." + name, parameter


def load(folder):
    path = os.path.join(MODELS, folder)
    if folder.startswith("sentence"):
        return Sentence(path).double().eval()
    with open(os.path.join(path, "config.json")) as file:
        cls = getattr(hf, json.load(file)["architectures"][0])
    return cls.from_pretrained(path, attn_implementation="eager").double().eval()


def make_batch(config, name, kind):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    ids = [(rng.choice([i for i in range(config.vocab_size) if i != config.pad_token_id], n)).tolist() for n in LENGTHS]
    type_ids = [rng.integers(0, getattr(config, "type_vocab_size", 1), n).tolist() for n in LENGTHS]
    labels = getattr(config, "num_labels", 0)
    tokens, sequences = sum(LENGTHS), len(LENGTHS)
    batch = {"ids": ids, "type_ids": type_ids}
    if kind == "classes":
        batch["labels"] = rng.integers(0, labels, sequences).tolist()
    elif kind == "tokens":
        batch["labels"] = np.where(rng.random(tokens) < 0.3, -100, rng.integers(0, labels, tokens)).tolist()
    elif kind == "spans":
        batch["labels"] = [[int(rng.integers(0, n)), int(rng.integers(0, n))] for n in LENGTHS]
        batch["labels"][2][1] = -100
    elif kind == "rows":
        batch["rows"] = [0, 3, 7, 8, 26, 27, 40]
        batch["labels"] = rng.integers(0, config.vocab_size, 7).tolist()
    elif kind == "probabilities":
        batch["targets"] = rng.integers(0, 2, (sequences, labels)).astype(float).tolist()
        batch["targets"][0][0] = 0.25
    elif kind == "numbers":
        batch["targets"] = np.float32(rng.normal(size=(sequences, labels))).astype(float).tolist()
    elif kind == "cosines":
        batch["targets"] = np.float32(rng.uniform(-1, 1, sequences // 2)).astype(float).tolist()
    return batch


def run(model, batch):
    """Each sequence by itself, so that nothing is padded."""
    outputs = []
    for ids, types in zip(batch["ids"], batch["type_ids"]):
        arguments = dict(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        if model.config.model_type != "distilbert":
            arguments["token_type_ids"] = torch.tensor([types])
        outputs.append(model(**arguments))
    return outputs


def get_loss(kind, outputs, batch, options):
    if kind == "spans":
        total, count = 0, 0
        for out, labels in zip(outputs, batch["labels"]):
            for logits, label in zip((out.start_logits, out.end_logits), labels):
                if label != -100:
                    total, count = total + F.cross_entropy(logits, torch.tensor([label])), count + 1
        return total / count
    if kind in ("cosines", "pairs"):
        x = torch.stack(outputs)
        first, second = x[0::2], x[1::2]
        if kind == "cosines":
            return F.mse_loss(F.cosine_similarity(first, second), torch.tensor(batch["targets"], dtype=torch.float64))
        scores = F.normalize(first) @ F.normalize(second).T / options["temperature"]
        return F.cross_entropy(scores, torch.arange(len(first)))
    logits = torch.cat([out.logits.flatten(0, -2) for out in outputs])
    if kind == "rows":
        logits = logits[batch["rows"]]
    if kind in ("probabilities", "numbers"):
        targets = torch.tensor(batch["targets"], dtype=torch.float64)
        return (F.mse_loss if kind == "numbers" else F.binary_cross_entropy_with_logits)(logits, targets)
    weights = options.get("class_weights")
    return F.cross_entropy(logits, torch.tensor(batch["labels"]), label_smoothing=options.get("label_smoothing", 0.0),
                           weight=None if weights is None else torch.tensor(weights, dtype=torch.float64))


def differentiate(model, kind, batch, options):
    loss = get_loss(kind, run(model, batch), batch, options)
    loss.backward()
    named = model.named() if isinstance(model, Sentence) else model.named_parameters()
    return loss.item(), [(n, p.grad.numpy()) for n, p in named if p.grad is not None]


def get_places(shape, ids):
    """Of tables of words in rows that are looked up."""
    k = np.arange(SAMPLES, dtype=np.int64)
    if ids is not None:
        return np.array(ids)[k % len(ids)] * shape[1] + k * 37 % shape[1]
    return k * 2654435761 % int(np.prod(shape))


def make_case(model, name, folder, kind, options):
    batch = make_batch(model.config, name, kind)
    loss, gradients = differentiate(model, kind, batch, options)
    flat = [i for ids in batch["ids"] for i in ids]
    kept = []
    for parameter, gradient in gradients:
        places = get_places(gradient.shape, flat if parameter.endswith("word_embeddings.weight") else None)
        kept += [np.linalg.norm(gradient), np.abs(gradient).max()] + gradient.ravel()[places].tolist()
    case = dict(name=name, folder=folder, kind=kind, loss=loss, options=options,
                parameters=[[n, int(g.size)] for n, g in gradients], **batch)
    return case, kept


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minilm", default=os.path.join(HERE, "../../../../shared/models/minilm-sst2"))
    hf.logging.set_verbosity_error()
    made = [make_case(load(folder), name, folder, kind, options) for name, (folder, kind, options) in CASES.items()]
    directory = parser.parse_args().minilm
    model = hf.BertForSequenceClassification.from_pretrained(directory, attn_implementation="eager").double().eval()
    made.append(make_case(model, "minilm-sst2", None, "classes", {}))
    np.float32([number for _, kept in made for number in kept]).tofile(os.path.join(HERE, "golden.f32"))
    with open(os.path.join(HERE, "golden.json"), "w") as file:
        file.write("[" + ",\n".join(json.dumps(case) for case, _ in made) + "]\n")


if __name__ == "__main__":
    main()
