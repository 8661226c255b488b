#!/usr/bin/env python3
"""Losses and gradients with a teacher's answers by PyTorch's autograd, in float64: (1 - w) * L + w * (the teacher's part), T dividing
logits of both; where hidden states count, plus their factor times the mean of the layers' mean squared errors.

    pip install -r requirements.txt && python distill.py

distill.json and distill.f32 are as those of make.py; the teacher's answers are random numbers in the batch.
"""

import json
import os
import zlib

import numpy as np
import torch
import torch.nn.functional as F
import transformers as hf

import make

HERE = make.HERE

# name: (folder, what the loss is, options)
CASES = {
    "classes": ("bert-sequence", "classes", {"distill_weight": 0.7, "distill_temperature": 3.0}),
    "classes-alone": ("distilbert-sequence", "classes", {"distill_weight": 1.0, "distill_temperature": 2.0}),
    "classes-smoothed": ("bert-silu", "classes", {"distill_weight": 0.25, "distill_temperature": 1.0, "label_smoothing": 0.15}),
    "tokens": ("bert-token", "tokens", {"distill_weight": 0.5, "distill_temperature": 2.5}),
    "rows": ("bert-masked", "rows", {"distill_weight": 0.9, "distill_temperature": 2.0}),
    "probabilities": ("bert-multi-label", "probabilities", {"distill_weight": 0.6, "distill_temperature": 2.0}),
    "ranking": ("cross-encoder", "probabilities", {"distill_weight": 1.0, "distill_temperature": 1.5}),
    "spans": ("bert-question", "spans", {"distill_weight": 0.4, "distill_temperature": 2.0}),
    "spans-alone": ("distilbert-question", "spans", {"distill_weight": 1.0, "distill_temperature": 3.0}),
    "hidden": ("bert-sequence", "classes", {"distill_weight": 0.5, "distill_temperature": 2.0, "distill_hidden": 3.0}),
    "hidden-rows": ("roberta-masked", "rows", {"distill_weight": 0.9, "distill_temperature": 2.0, "distill_hidden": 0.5}),
    "hidden-spans": ("distilbert-question", "spans", {"distill_weight": 0.9, "distill_temperature": 2.0, "distill_hidden": 10.0}),
    "numbers": ("bert-regression", "numbers", {"distill_weight": 0.8, "distill_temperature": 2.0}),
    "cosines": ("sentence-mean-normalize", "cosines", {"distill_weight": 0.5, "distill_temperature": 2.0}),
    "pairs": ("sentence-cls-dense-normalize", "pairs", {"distill_weight": 0.3, "distill_temperature": 2.0, "temperature": 0.2}),
    "embeddings-alone": ("sentence-max-dense", "cosines", {"distill_weight": 1.0, "distill_temperature": 2.0}),
}


def get_answers(kind, outputs, batch):
    """The output that teacher and student are compared by."""
    if kind in ("cosines", "pairs"):
        return torch.stack(outputs)
    if kind == "spans":
        return torch.cat([torch.stack([out.start_logits[0], out.end_logits[0]], 1) for out in outputs])
    logits = torch.cat([out.logits.flatten(0, -2) for out in outputs])
    return logits[batch["rows"]] if kind == "rows" else logits


def get_teacher_loss(kind, answers, teacher, temperature):
    if kind in ("cosines", "pairs"):
        return F.cosine_embedding_loss(answers, teacher, torch.ones(len(answers)))
    if kind == "numbers":
        return F.mse_loss(answers, teacher)
    if kind == "probabilities":
        soft = torch.sigmoid(teacher / temperature)
        return F.binary_cross_entropy_with_logits(answers / temperature, soft) * temperature**2
    if kind == "spans":
        parts = [(a[:, c], t[:, c]) for a, t in zip(answers.split(make.LENGTHS), teacher.split(make.LENGTHS)) for c in (0, 1)]
        return torch.stack([F.kl_div(F.log_softmax(a / temperature, 0), F.softmax(t / temperature, 0), reduction="sum")
                            for a, t in parts]).mean() * temperature**2
    p = F.log_softmax(answers / temperature, 1)
    return F.kl_div(p, F.softmax(teacher / temperature, 1), reduction="batchmean") * temperature**2


def make_case(name, folder, kind, options):
    model = make.load(folder)
    batch = make.make_batch(model.config, name, kind)
    if "distill_hidden" in options:
        model.config.output_hidden_states = True
    outputs = make.run(model, batch)
    answers = get_answers(kind, outputs, batch)
    rng = np.random.default_rng(zlib.crc32(name.encode()) + 1)
    teacher = np.round(rng.normal(size=tuple(answers.shape)) * 2, 2)
    weight = options["distill_weight"]
    loss = weight * get_teacher_loss(kind, answers, torch.tensor(teacher), options["distill_temperature"])
    if weight != 1:
        loss = loss + (1 - weight) * make.get_loss(kind, outputs, batch, options)
    hidden = {}
    if "distill_hidden" in options:
        states = [torch.cat([out.hidden_states[layer][0] for out in outputs]) for layer in (1, 2)]  # of both layers
        given = [np.round(rng.normal(size=tuple(s.shape)), 2) for s in states]
        loss = loss + options["distill_hidden"] * sum(F.mse_loss(s, torch.tensor(g)) for s, g in zip(states, given)) / 2
        hidden = {"hidden": [g.ravel().tolist() for g in given]}
    loss.backward()
    named = model.named() if isinstance(model, make.Sentence) else model.named_parameters()
    gradients = [(n, p.grad.numpy()) for n, p in named if p.grad is not None]
    flat = [i for ids in batch["ids"] for i in ids]
    kept = []
    for parameter, gradient in gradients:
        places = make.get_places(gradient.shape, flat if parameter.endswith("word_embeddings.weight") else None)
        kept += [np.linalg.norm(gradient), np.abs(gradient).max()] + gradient.ravel()[places].tolist()
    return dict(name=name, folder=folder, kind=kind, loss=loss.item(), options=options, teacher=teacher.ravel().tolist(),
                parameters=[[n, int(g.size)] for n, g in gradients], **batch, **hidden), kept


def main():
    hf.logging.set_verbosity_error()
    made = [make_case(name, folder, kind, options) for name, (folder, kind, options) in CASES.items()]
    np.float32([number for _, kept in made for number in kept]).tofile(os.path.join(HERE, "distill.f32"))
    with open(os.path.join(HERE, "distill.json"), "w") as file:
        file.write("[" + ",\n".join(json.dumps(case) for case, _ in made) + "]\n")


if __name__ == "__main__":
    main()
