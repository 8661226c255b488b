"""Writes optimizers.h and losses.h beside itself: what PyTorch gives for the inputs of tests/ops/test_optimizer_f32.c and
test_loss_f32.c. They make the same inputs by the same whole numbers.

    python3 -m venv V && V/bin/pip install -r requirements.txt && V/bin/python make.py
"""
import math
import os

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
SIZE, STEPS, SHOWN = 40, 25, (1, 6, 25)


def numbers(values):
    text = [f"{float(v):.9g}" for v in values]
    lines = [", ".join(text[i : i + 8]) for i in range(0, len(text), 8)]
    return ",\n     ".join(lines)


def weights():
    return torch.tensor([(i * 53 % 101 - 50) / 64 for i in range(SIZE)])


def gradient(step):
    return torch.tensor([((i * 37 + step * 101 + i * step * 13) % 257 - 128) / 1024 for i in range(SIZE)])


def rate(step):
    return 1e-2 * (step / 5 if step < 5 else (30 - step) / 25)


def torch_run(make, decay):
    """decay: of the weights, decoupled, for optimizers that have none of their own."""
    w = torch.nn.Parameter(weights())
    optimizer = make([w])
    for step in range(1, STEPS + 1):
        optimizer.param_groups[0]["lr"] = rate(step)
        w.grad = gradient(step)
        with torch.no_grad():
            w.mul_(1 - rate(step) * decay)
        optimizer.step()
        yield step, w.detach().tolist()


def lamb_run():
    """You et al. 2020, algorithm 2 with phi the identity, in double: PyTorch has none."""
    w, m, v = weights().double(), torch.zeros(SIZE).double(), torch.zeros(SIZE).double()
    for step in range(1, STEPS + 1):
        g = gradient(step).double()
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        u = m / (1 - 0.9**step) / ((v / (1 - 0.999**step)).sqrt() + 1e-6) + 0.1 * w
        w = w - rate(step) * w.norm() / u.norm() * u
        yield step, w.tolist()


def write_optimizers():
    sgd = torch.optim.SGD
    runs = {
        "adamw": torch_run(lambda p: torch.optim.AdamW(p, lr=1, weight_decay=0.1), 0),
        "sgd": torch_run(lambda p: sgd(p, lr=1), 0.1),
        "momentum": torch_run(lambda p: sgd(p, lr=1, momentum=0.9), 0.1),
        "nesterov": torch_run(lambda p: sgd(p, lr=1, momentum=0.9, nesterov=True), 0.1),
        "lamb": lamb_run(),
    }
    with open(os.path.join(HERE, "optimizers.h"), "w") as out:
        out.write("/* Written by make.py: weights after some steps. */\n")
        out.write(f"enum {{ GOLDEN_OPTIMIZER_SIZE = {SIZE}, GOLDEN_OPTIMIZER_STEPS = {STEPS} }};\n\n")
        out.write("static const struct {\n  const char *name;\n  size_t step;\n  double w[GOLDEN_OPTIMIZER_SIZE];\n} golden_optimizers[] = {\n")
        for name, run in runs.items():
            for step, w in run:
                if step in SHOWN:
                    out.write(f'    {{"{name}", {step},\n     {{{numbers(w)}}}}},\n')
        out.write("};\n")


if __name__ == "__main__":
    torch.manual_seed(0)
    write_optimizers()
