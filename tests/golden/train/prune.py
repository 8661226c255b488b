#!/usr/bin/env python3
"""Steps of PyTorch's AdamW while weights are pruned, in float64, on ../models/bert-sequence; with a teacher's answers in some.

    pip install -r requirements.txt && python prune.py

prune.json holds the batches and a case each: options, losses, and of each pruned weight its name, its largest change and the blocks that
are removed at the end, as bits in hexadecimal; prune.f32 holds 128 elements of each such weight at the end, one case after the other.

What is written down here is the definition and nothing of the library: masks by sorting, the gradient by scores of movement through
autograd of W' = W * M, of scores that are trained through autograd of a threshold that lets gradients pass; inverses of Fisher blocks by
numpy, changes by - F^-1 E_R ([F^-1]_RR)^-1 w_R.
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
          "clip": 0.0, "distill_weight": 0.0, "distill_temperature": 2.0, "score_rate": 1.0, "penalty": 0.0, "gradients": 1024, "block": 50,
          "damp": 1e-5, "update": True, "rewind": -1}
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
    {"name": "obert", "score": "obert", "block": 20, "damp": 1e-4},
    {"name": "obert of elements", "score": "obert", "pattern": "element", "scope": "layer", "update": False, "gradients": 4},
    {"name": "obert of 4x4", "score": "obert", "pattern": "4x4", "schedule": "linear", "block": 10, "sparsity": 0.6},
    {"name": "rb", "score": "rb", "score_rate": 2000.0, "schedule": "linear"},
    {"name": "rb of layers", "score": "rb", "pattern": "4x4", "scope": "layer", "score_rate": 1000.0, "sparsity": 0.6},
    {"name": "soft_movement", "score": "soft_movement", "score_rate": 300.0, "penalty": 10.0},
    {"name": "rewind", "score": "magnitude", "schedule": "exponential", "begin": 3, "every": 3, "rewind": 2, "clip": 0.5},
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


class Fisher:
    """The mean of g g^T, block by block of an output's inputs."""

    def __init__(self, case, shape):
        self.case, self.shape, self.count = case, shape, 0
        self.spans = [(i, slice(j, min(j + case["block"], shape[1]))) for i in range(shape[0]) for j in range(0, shape[1], case["block"])]
        self.values = [np.zeros((s.stop - s.start,) * 2) for _, s in self.spans]

    def add(self, g):
        self.count += 1
        for (i, s), f in zip(self.spans, self.values):
            f += (np.outer(g[i, s], g[i, s]) - f) / min(self.count, self.case["gradients"])

    def get_inverses(self, alive):
        """Of each block: output, inputs that are alive, the inverse of their F."""
        for (i, s), f in zip(self.spans, self.values):
            places = np.flatnonzero(alive[i, s])
            if places.size:
                yield i, s.start + places, np.linalg.inv(f[np.ix_(places, places)] + self.case["damp"] * np.eye(places.size))

    def get_scores(self, w, mask, block):
        a, b = block
        scores = np.zeros(mask.shape)
        for i, inputs, inverse in self.get_inverses(spread(mask, block)):
            for column in set(inputs // b):
                part = np.flatnonzero(inputs // b == column)
                wb = w[i, inputs[part]]
                scores[i // a, column] += 0.5 * wb @ np.linalg.inv(inverse[np.ix_(part, part)]) @ wb
        return scores / (a * b)

    def update(self, w, old, new, block):
        goes = spread(old, block) - spread(new, block)
        for i, inputs, inverse in self.get_inverses(spread(old, block)):
            part = np.flatnonzero(goes[i, inputs])
            if part.size:
                w[i, inputs] -= inverse[:, part] @ np.linalg.inv(inverse[np.ix_(part, part)]) @ w[i, inputs[part]]


def get_philox(counter, key):
    """Philox4x32-10 of Salmon et al. 2011."""
    x, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(b >> 32) ^ x[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ x[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return x


def get_noise(step, weight, shape):
    """logit u: four blocks of a weight share a counter; the key is the stream's name by FNV-1a and the seed, 0."""
    stream = 0xCBF29CE484222325
    for c in b"rb":
        stream = ((stream ^ c) * 0x100000001B3) % 2**64
    key = (stream & 0xFFFFFFFF, stream >> 32)
    count = int(np.prod(shape))
    words = [x for quad in range((count + 3) // 4) for x in get_philox((quad, weight, step & 0xFFFFFFFF, step >> 32), key)]
    u = (np.array(words[:count]) + 0.5) / 2**32
    return np.log(u / (1 - u)).reshape(shape)


class Learned:
    """Scores that are trained."""

    def __init__(self, case, shapes, blocks):
        self.rb = case["score"] == "rb"
        first = float(np.float32(np.log(0.99 / 0.01))) if self.rb else 0.0
        self.case, self.blocks = case, blocks
        self.scores = {n: torch.full(s, first, dtype=torch.float64, requires_grad=True) for n, s in shapes.items()}
        self.optimizer = torch.optim.AdamW(list(self.scores.values()), lr=RATE * case["score_rate"], weight_decay=0.0)

    def get_masks(self, step):
        masks = {}
        for i, (name, s) in enumerate(self.scores.items()):
            soft = torch.sigmoid(s + torch.tensor(get_noise(step, i, s.shape))) if self.rb else s
            hard = soft > 0.5 if self.rb else torch.sigmoid(s) > 0.1
            masks[name] = soft + (hard.double() - soft).detach()
        return masks

    def get_loss(self, step):
        """What is added to the task's."""
        s = get_sparsity(self.case, step)
        sums, counts, loss = [], [], 0
        for name, score in self.scores.items():
            soft = torch.sigmoid(score)
            kept = soft + ((soft > 0.5).double() - soft).detach() if self.rb else soft
            sums.append(kept.sum() * self.blocks[name][0] * self.blocks[name][1])
            counts.append(score.numel() * self.blocks[name][0] * self.blocks[name][1])
        groups = [(sum(sums), sum(counts))] if self.case["scope"] == "global" else list(zip(sums, counts))
        for total, count in groups:
            loss += (((total / count - (1 - s)) / 0.05) ** 2 if self.rb
                     else self.case["penalty"] * s / self.case["sparsity"] * total / count)
        return loss


def make_optimizer(model):
    return torch.optim.AdamW([{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
                              {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}], lr=RATE)


def run_case(case, batches):
    case = COMMON | case
    learns = case["score"] in ("rb", "soft_movement")
    regrows = case["score"] == "movement" or learns
    model = hf.BertForSequenceClassification.from_pretrained(FOLDER, attn_implementation="eager", hidden_dropout_prob=0.0,
                                                             attention_probs_dropout_prob=0.0).double()
    parameters = dict(model.named_parameters())
    targets = [name for name in parameters if ".layer." in name and parameters[name].dim() == 2]
    before = {name: parameters[name].detach().numpy().copy() for name in targets}
    blocks = {name: get_block(case["pattern"], before[name].shape) for name in targets}
    scores = {name: np.zeros(to_blocks(before[name], blocks[name]).shape[:2]) for name in targets}
    masks = {name: np.ones_like(scores[name]) for name in targets}
    learned = Learned(case, {name: s.shape for name, s in scores.items()}, blocks) if learns else None
    fishers = {name: Fisher(case, before[name].shape) for name in targets} if case["score"] == "obert" else {}
    optimizer = make_optimizer(model)
    kept = {}
    losses, closest = [], np.inf
    for step, batch in enumerate(batches):
        width = max(map(len, batch["ids"]))
        ids = torch.tensor([s + [0] * (width - len(s)) for s in batch["ids"]])
        attention = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in batch["ids"]])
        optimizer.zero_grad()
        learning = learns and case["begin"] <= step <= case["end"]
        drawn = learned.get_masks(step) if learning else {name: torch.tensor(masks[name]) for name in targets}
        masked = {}
        for name in targets:
            masked[name] = parameters[name] * torch.kron(drawn[name], torch.ones(blocks[name], dtype=torch.float64))
            masked[name].retain_grad()
        logits = functional_call(model, masked, kwargs={"input_ids": ids, "attention_mask": attention}).logits
        hard = F.cross_entropy(logits, torch.tensor(batch["labels"]))
        w, t = case["distill_weight"], case["distill_temperature"]
        soft = F.kl_div(F.log_softmax(logits / t, 1), F.softmax(torch.tensor(batch["teacher"], dtype=torch.float64) / t, 1),
                        reduction="batchmean") * t * t
        loss = (1 - w) * hard + w * soft
        (loss + (learned.get_loss(step) if learning else 0)).backward()
        losses.append(loss.item())
        due = step == case["end"] if learns else case["begin"] <= step <= case["end"] and ((step - case["begin"]) % case["every"] == 0 or step == case["end"])
        for name in targets:
            wn = parameters[name].detach().numpy()
            if fishers and step <= case["end"]:
                fishers[name].add(masked[name].grad.numpy())
            if fishers and due:
                scores[name] = fishers[name].get_scores(wn, masks[name], blocks[name])
            elif not fishers and not learns and (case["score"] in ("snip_momentum", "movement") or due):
                scores[name] = get_score(case["score"], scores[name], wn, masked[name].grad.numpy(), blocks[name], RATE)
            if case["score"] == "group_lasso":
                norms = np.linalg.norm(to_blocks(wn, blocks[name]), axis=2)
                unit = wn / np.where(norms == 0, 1, norms)[:, :].repeat(blocks[name][0], 0).repeat(blocks[name][1], 1)
                parameters[name].grad += torch.tensor(case["lasso"] * unit)
        if case["clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), case["clip"])
        if learning:
            learned.optimizer.step()
            learned.optimizer.zero_grad()
            scores = {name: s.detach().numpy() for name, s in learned.scores.items()}
        if due:
            old = masks
            effective = {name: s if regrows else np.where(masks[name] == 0, -np.inf, s) for name, s in scores.items()}
            masks = choose(case, effective, blocks, get_sparsity(case, step))
            for name in targets if fishers and case["update"] else []:
                fishers[name].update(parameters[name].detach().numpy(), old[name], masks[name], blocks[name])
        if step == case["rewind"]:
            kept = {name: p.detach().clone() for name, p in parameters.items()}
        optimizer.step()
        if due and kept:
            optimizer = make_optimizer(model)
            with torch.no_grad():
                for name, p in parameters.items():
                    p.copy_(kept[name])
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
