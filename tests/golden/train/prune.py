#!/usr/bin/env python3
"""Steps of PyTorch's AdamW while weights are pruned, in float64, on ../models/bert-sequence; with a teacher's answers in some.

    pip install -r requirements.txt && python prune.py

prune.json holds the batches and a case each: options, losses, and of each pruned weight its name, its largest change and the blocks that
are removed at the end, as bits in hexadecimal; prune.f32 holds 128 elements of each such weight at the end, one case after the other.

What is written down here is the definition and nothing of the library: masks by sorting, the gradient by scores of movement through
autograd of W' = W * M.
"""

import json
import os
import random

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
import torch.nn.functional as F
import transformers as hf
from torch.func import functional_call

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "models", "bert-sequence")
STEPS, SAMPLES, RATE = 14, 128, 1e-3

COMMON = {"pattern": "4x1", "sparsity": 0.8, "scope": "global", "schedule": "cubic", "begin": 1, "end": 11, "every": 2, "lasso": 0.0,
          "clip": 0.0, "distill_weight": 0.0, "distill_temperature": 2.0}
CASES = [
    {"name": "magnitude", "score": "magnitude", "clip": 0.5},
    {"name": "snip", "score": "snip", "pattern": "4x4", "scope": "layer", "schedule": "linear", "sparsity": 0.7},
    {"name": "snip_momentum", "score": "snip_momentum", "schedule": "exponential"},
    {"name": "movement", "score": "movement", "clip": 0.5},
    {"name": "movement of elements", "score": "movement", "pattern": "element", "schedule": "one-shot", "scope": "layer", "every": 3},
    {"name": "group_lasso", "score": "group_lasso", "schedule": "linear", "lasso": 0.02},
    {"name": "geometric_median", "score": "geometric_median", "pattern": "row", "scope": "layer", "sparsity": 0.5},
    {"name": "2:4", "score": "magnitude", "pattern": "2:4", "sparsity": 0.5, "schedule": "one-shot"},
    {"name": "teacher", "score": "snip_momentum", "distill_weight": 0.75, "distill_temperature": 3.0},
]


def make_batches():
    generator = random.Random(11)
    batches = []
    for _ in range(STEPS):
        ids = [[generator.randrange(1, 41) for _ in range(generator.randint(3, 20))] for _ in range(8)]
        teacher = [[generator.uniform(-2, 2) for _ in range(3)] for _ in ids]
        batches.append({"ids": ids, "labels": [s[0] % 3 for s in ids], "teacher": [[float(np.float32(x)) for x in row] for row in teacher]})
    return batches


def get_block(pattern, shape):
    if pattern in ("element",) or ":" in pattern:
        return (1, 1)
    if pattern == "row":
        return (1, shape[1])
    n, k = pattern.split("x")
    return (int(n), int(k))


def to_blocks(w, block):
    """[rows, columns, elements of a block]"""
    n, k = w.shape
    a, b = block
    return w.reshape(n // a, a, k // b, b).transpose(0, 2, 1, 3).reshape(n // a, k // b, a * b)


def spread(mask, block):
    return np.kron(mask, np.ones(block))


def get_score(score, old, w, g, block, rate):
    wb, gb = to_blocks(w, block), to_blocks(g, block)
    if score == "magnitude":
        return np.abs(wb).mean(2)
    if score == "snip":
        return np.abs(wb * gb).mean(2)
    if score == "snip_momentum":
        return 0.9 * old + np.abs(wb * gb).mean(2)
    if score == "movement":
        return old - rate * (wb * gb).mean(2)
    if score == "group_lasso":
        return np.sqrt((wb**2).mean(2))
    flat = wb.reshape(-1, wb.shape[2])
    return np.array([np.linalg.norm(flat - row, axis=1).sum() for row in flat]).reshape(wb.shape[:2])


def get_sparsity(case, step):
    s, t = case["sparsity"], (step - case["begin"]) / (case["end"] - case["begin"])
    if case["schedule"] == "one-shot" or t >= 1:
        return s
    return {"linear": s * t, "cubic": s - s * (1 - t) ** 3, "exponential": 1 - (1 - s) ** t}[case["schedule"]]


def choose(case, scores, blocks, sparsity):
    """Masks of 1 (kept) and 0, a dictionary of [rows, columns]."""
    if ":" in case["pattern"]:
        n, m = map(int, case["pattern"].split(":"))
        masks = {}
        for name, s in scores.items():
            order = np.argsort(np.argsort(s.reshape(-1, m), axis=1, kind="stable"), axis=1, kind="stable")
            masks[name] = (order >= m - n).astype(float).reshape(s.shape)
        return masks
    groups = [list(scores)] if case["scope"] == "global" else [[name] for name in scores]
    masks = {}
    for group in groups:
        flat = np.concatenate([scores[name].ravel() for name in group])
        size = np.concatenate([np.full(scores[name].size, blocks[name][0] * blocks[name][1]) for name in group])
        removed = np.zeros(flat.size)
        left = round(sparsity * size.sum())
        for i in np.argsort(flat, kind="stable"):
            if size[i] > left:
                break
            removed[i] = 1
            left -= size[i]
        at = 0
        for name in group:
            masks[name] = 1 - removed[at : at + scores[name].size].reshape(scores[name].shape)
            at += scores[name].size
    return masks


def run_case(case, batches):
    case = COMMON | case
    regrows = case["score"] == "movement"
    model = hf.BertForSequenceClassification.from_pretrained(FOLDER, attn_implementation="eager", hidden_dropout_prob=0.0,
                                                             attention_probs_dropout_prob=0.0).double()
    parameters = dict(model.named_parameters())
    targets = [name for name in parameters if ".layer." in name and parameters[name].dim() == 2]
    before = {name: parameters[name].detach().numpy().copy() for name in targets}
    blocks = {name: get_block(case["pattern"], before[name].shape) for name in targets}
    scores = {name: np.zeros(to_blocks(before[name], blocks[name]).shape[:2]) for name in targets}
    masks = {name: np.ones_like(scores[name]) for name in targets}
    optimizer = torch.optim.AdamW([{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
                                   {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}], lr=RATE)
    losses, closest = [], np.inf
    for step, batch in enumerate(batches):
        width = max(map(len, batch["ids"]))
        ids = torch.tensor([s + [0] * (width - len(s)) for s in batch["ids"]])
        attention = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in batch["ids"]])
        optimizer.zero_grad()
        masked = {}
        for name in targets:
            masked[name] = parameters[name] * torch.tensor(spread(masks[name], blocks[name]))
            masked[name].retain_grad()
        logits = functional_call(model, masked, kwargs={"input_ids": ids, "attention_mask": attention}).logits
        hard = F.cross_entropy(logits, torch.tensor(batch["labels"]))
        w, t = case["distill_weight"], case["distill_temperature"]
        soft = F.kl_div(F.log_softmax(logits / t, 1), F.softmax(torch.tensor(batch["teacher"], dtype=torch.float64) / t, 1),
                        reduction="batchmean") * t * t
        loss = (1 - w) * hard + w * soft
        loss.backward()
        losses.append(loss.item())
        due = case["begin"] <= step <= case["end"] and ((step - case["begin"]) % case["every"] == 0 or step == case["end"])
        for name in targets:
            wn = parameters[name].detach().numpy()
            if case["score"] in ("snip_momentum", "movement") or due:
                scores[name] = get_score(case["score"], scores[name], wn, masked[name].grad.numpy(), blocks[name], RATE)
            if case["score"] == "group_lasso":
                norms = np.linalg.norm(to_blocks(wn, blocks[name]), axis=2)
                unit = wn / np.where(norms == 0, 1, norms)[:, :].repeat(blocks[name][0], 0).repeat(blocks[name][1], 1)
                parameters[name].grad += torch.tensor(case["lasso"] * unit)
        if case["clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), case["clip"])
        if due:
            effective = {name: s if regrows else np.where(masks[name] == 0, -np.inf, s) for name, s in scores.items()}
            masks = choose(case, effective, blocks, get_sparsity(case, step))
        optimizer.step()
        if not regrows:
            with torch.no_grad():
                for name in targets:
                    parameters[name].mul_(torch.tensor(spread(masks[name], blocks[name])))
    weights, values = [], []
    for name in targets:
        final = parameters[name].detach().numpy() * spread(masks[name], blocks[name])
        bits = np.packbits(masks[name].ravel() == 0).tobytes().hex()
        weights.append({"name": name, "change": float(np.abs(final - before[name]).max()), "removed": bits})
        values.append(final.ravel()[[i * final.size // SAMPLES for i in range(SAMPLES)]].astype("<f4"))
    zeros = sum(float((1 - m).mean()) * before[n].size for n, m in masks.items()) / sum(before[n].size for n in targets)
    print(f"{case['name']}: loss {losses[0]:.4f} to {losses[-1]:.4f}, {zeros:.4f} of the weights are 0")
    return case | {"losses": losses, "weights": weights}, values


def main():
    hf.logging.set_verbosity_error()
    batches = make_batches()
    cases, values = [], []
    for case in CASES:
        made, numbers = run_case(case, batches)
        cases.append(made)
        values += numbers
    with open(os.path.join(HERE, "prune.json"), "w") as file:
        json.dump({"batches": batches, "cases": cases}, file, separators=(",", ":"))
        file.write("\n")
    np.concatenate(values).tofile(os.path.join(HERE, "prune.f32"))


main()
