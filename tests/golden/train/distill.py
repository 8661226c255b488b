#!/usr/bin/env python3
"""Losses and gradients with a teacher's answers by PyTorch's autograd, in float64: (1 - w) * L + w * (the teacher's part), T dividing
logits of both; where layers are compared, plus their factors times
- hidden: the mean of the layers' MSE(H_s W, H_t), with W where widths differ (TinyBERT, arXiv:1909.10351, eq. 8)
- attention: the mean of the layers' MSE of scores before the softmax (the same, eq. 7), each row of scores counting alike
- exits: heads behind earlier layers, which begin as the head: each adds its loss by the labels and T^2 KL from the end's logits, detached
- relations: the sum over queries, keys and values of KL(softmax(T T^t / sqrt d) || softmax(S S^t / sqrt d)) (MiniLMv2, arXiv:2012.15828,
  section 3.1), a mean over heads and tokens

    pip install -r requirements.txt && python distill.py

distill.json and distill.f32 are as those of make.py; the teacher's answers and the values of its layers are random numbers in the batch.
"""

import argparse
import copy
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
    "projected": ("bert-sequence", "classes", {"distill_weight": 0.5, "distill_temperature": 2.0, "distill_hidden": 3.0, "teacher": [5, 48, 4]}),
    "projected-alone": ("distilbert-sequence", "classes", {"distill_weight": 0.0, "distill_temperature": 2.0, "distill_hidden": 1.5,
                                                           "teacher": [2, 20, 4]}),
    "attention": ("bert-sequence", "classes", {"distill_weight": 0.5, "distill_temperature": 2.0, "distill_attention": 2.0,
                                               "teacher": [3, 48, 4]}),
    "attention-tokens": ("distilbert-question", "spans", {"distill_weight": 1.0, "distill_temperature": 2.0, "distill_attention": 0.3,
                                                          "teacher": [2, 15, 5]}),
    "relations": ("bert-sequence", "classes", {"distill_weight": 0.5, "distill_temperature": 2.0, "distill_relations": 4.0,
                                               "relation_heads": 8, "relation_layer": 3, "teacher": [4, 48, 3]}),
    "relations-rows": ("roberta-masked", "rows", {"distill_weight": 0.9, "distill_temperature": 2.0, "distill_relations": 0.7,
                                                  "teacher": [2, 24, 4]}),
    "all": ("bert-token", "tokens", {"distill_weight": 0.3, "distill_temperature": 2.0, "distill_hidden": 0.5, "distill_attention": 0.25,
                                     "distill_relations": 2.0, "relation_heads": 2, "teacher": [2, 40, 4]}),
    "exits": ("bert-sequence", "classes", {"distill_weight": 0.0, "distill_temperature": 3.0, "label_smoothing": 0.1,
                                           "class_weights": [0.5, 2.0, 1.25], "exits": [0]}),
    "exits-teacher": ("bert-silu", "classes", {"distill_weight": 0.5, "distill_temperature": 2.0, "distill_hidden": 0.5, "exits": [0]}),
    "exits-alone": ("distilbert-sequence", "classes", {"distill_weight": 1.0, "distill_temperature": 1.5, "exits": [0]}),
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


def listen(model):
    """Queries, keys and values of each layer: lists of what each sequence gives, by (layer, 1 to 3)."""
    body, heard = model.base_model, {}
    distil = model.config.model_type == "distilbert"
    for i, layer in enumerate(body.transformer.layer if distil else body.encoder.layer):
        at = layer.attention if distil else layer.attention.self
        for what, name in enumerate(("q_lin", "k_lin", "v_lin") if distil else ("query", "key", "value"), 1):
            heard[i, what] = []
            getattr(at, name).register_forward_hook(lambda m, given, out, to=heard[i, what]: to.append(out[0]))
    return heard


def get_scores(x, z, heads):
    """[heads, tokens, tokens]"""
    x, z = (v.reshape(len(v), heads, -1).transpose(0, 1) for v in (x, z))
    return x @ z.transpose(1, 2) / x.shape[-1] ** 0.5


def compare_layers(model, options, states, heard, rng):
    """What layers add to the loss, the teacher's values by [layer, what (0: hidden state, else as in listen)], and W."""
    layers = len(states)
    teacher_layers, width, heads = options.get("teacher", [layers, model.config.hidden_size, model.config.num_attention_heads])
    loss, values, w = 0, {}, None

    def get_teacher(layer, what):
        if (layer, what) not in values:
            values[layer, what] = torch.tensor(np.round(rng.normal(size=(sum(make.LENGTHS), width)), 2))
        return values[layer, what]

    def mean_rows(pairs, heads, error):
        """Of pairs of scores, a sequence each."""
        return sum(error(s, t) for s, t in pairs) / (sum(make.LENGTHS) * heads)

    count = min(3, layers)
    spread = [(-(-i * layers // count) - 1, -(-i * teacher_layers // count) - 1) for i in range(1, count + 1)]
    if "distill_hidden" in options:
        if width != model.config.hidden_size:
            w = torch.tensor(np.round(rng.normal(size=(model.config.hidden_size, width)) * 0.2, 3), requires_grad=True)
        for own, other in spread:
            x = torch.cat(states[own])
            loss = loss + options["distill_hidden"] / count * F.mse_loss(x if w is None else x @ w, get_teacher(other, 0))
    if "distill_attention" in options:
        for own, other in spread:
            parts = zip(heard[own, 1], heard[own, 2], *(get_teacher(other, what).split(make.LENGTHS) for what in (1, 2)))
            pairs = [(get_scores(q, k, heads), get_scores(tq, tk, heads)) for q, k, tq, tk in parts]
            loss = loss + options["distill_attention"] / count * mean_rows(pairs, heads, lambda s, t: ((s - t) ** 2).mean(-1).sum())
    if "distill_relations" in options:
        split = options.get("relation_heads") or heads
        other = options.get("relation_layer", teacher_layers) - 1
        for what in (1, 2, 3):
            pairs = [(get_scores(s, s, split), get_scores(t, t, split))
                     for s, t in zip(heard[layers - 1, what], get_teacher(other, what).split(make.LENGTHS))]
            loss = loss + options["distill_relations"] * mean_rows(
                pairs, split, lambda s, t: F.kl_div(F.log_softmax(s, -1), F.softmax(t, -1), reduction="sum"))
    return loss, values, w


def add_exits(model, options, outputs, batch, answers):
    """What exits add to the loss, and their parameters by name."""
    loss, parameters = 0, []
    t = options["distill_temperature"]
    distil = model.config.model_type == "distilbert"
    for number, layer in enumerate(options["exits"], 1):
        names = ["pre_classifier", "classifier"] if distil else ["bert.pooler", "classifier"]
        head = [copy.deepcopy(model.get_submodule(n)) for n in names]
        for n, module in zip(names, head):
            parameters += [("exit_%d.%s.%s" % (number, n, k), p) for k, p in module.named_parameters()]
        states = [out.hidden_states[layer + 1] for out in outputs]
        pooled = torch.cat([torch.relu(head[0](s[:, 0])) if distil else head[0](s) for s in states])
        logits = head[1](pooled)
        if options["distill_weight"] != 1:
            loss = loss + make.get_loss("classes", [argparse.Namespace(logits=row[None]) for row in logits], batch, options)
        loss = loss + get_teacher_loss("classes", logits, answers.detach(), t)
    return loss, parameters


def make_case(name, folder, kind, options):
    model = make.load(folder)
    batch = make.make_batch(model.config, name, kind)
    compares = any(key in options for key in ("distill_hidden", "distill_attention", "distill_relations"))
    if compares or "exits" in options:
        model.config.output_hidden_states = True
    if compares:
        heard = listen(model)
    outputs = make.run(model, batch)
    answers = get_answers(kind, outputs, batch)
    rng = np.random.default_rng(zlib.crc32(name.encode()) + 1)
    teacher = np.round(rng.normal(size=tuple(answers.shape)) * 2, 2)
    weight = options["distill_weight"]
    loss = weight * get_teacher_loss(kind, answers, torch.tensor(teacher), options["distill_temperature"]) if weight != 0 else 0
    if weight != 1:
        loss = loss + (1 - weight) * make.get_loss(kind, outputs, batch, options)
    given, w = {}, None
    if compares:
        layers = model.config.num_hidden_layers
        states = [[out.hidden_states[layer + 1][0] for out in outputs] for layer in range(layers)]
        part, values, w = compare_layers(model, options, states, heard, rng)
        loss = loss + part
        given = {"values": {"%d.%d" % key: v.ravel().tolist() for key, v in values.items()}, "heads": model.config.num_attention_heads}
        if w is not None:
            given["projection"] = w.detach().ravel().tolist()
    extra = []
    if "exits" in options:
        part, extra = add_exits(model, options, outputs, batch, answers)
        loss = loss + part
    loss.backward()
    named = model.named() if isinstance(model, make.Sentence) else model.named_parameters()
    gradients = [(n, p.grad.numpy()) for n, p in named if p.grad is not None]
    gradients += [(n, p.grad.numpy()) for n, p in extra]
    if w is not None:
        gradients.append(("distill.projection", w.grad.numpy()))
    flat = [i for ids in batch["ids"] for i in ids]
    kept = []
    for parameter, gradient in gradients:
        places = make.get_places(gradient.shape, flat if parameter.endswith("word_embeddings.weight") else None)
        kept += [np.linalg.norm(gradient), np.abs(gradient).max()] + gradient.ravel()[places].tolist()
    return dict(name=name, folder=folder, kind=kind, loss=loss.item(), options=options, teacher=teacher.ravel().tolist(),
                parameters=[[n, int(g.size)] for n, g in gradients], **batch, **given), kept


def main():
    hf.logging.set_verbosity_error()
    made = [make_case(name, folder, kind, options) for name, (folder, kind, options) in CASES.items()]
    np.float32([number for _, kept in made for number in kept]).tofile(os.path.join(HERE, "distill.f32"))
    with open(os.path.join(HERE, "distill.json"), "w") as file:
        file.write("[" + ",\n".join(json.dumps(case) for case, _ in made) + "]\n")


if __name__ == "__main__":
    main()
