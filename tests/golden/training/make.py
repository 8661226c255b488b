"""Writes optimizers.h, losses.h and fake_quantize.h beside itself: what PyTorch gives for the inputs of tests/ops/test_optimizer_f32.c,
test_loss_f32.c and test_fake_quantize_f32.c. They make the same inputs by the same whole numbers.

    python3 -m venv V && V/bin/pip install -r requirements.txt && V/bin/python make.py
"""
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


def values(count, seed, scale):
    """golden_values of test_loss_f32.c."""
    return torch.tensor([((i * 53 + seed * 29 + i * i * 7) % 257 - 128) / 128 * scale for i in range(count)], dtype=torch.float64)


def labels(count, classes, ignored):
    return torch.tensor([-100 if ignored and i % 3 == 1 else (i * 5 + 1) % classes for i in range(count)])


def cross_entropy(rows, classes, smoothing, weighted, ignored):
    def run(x):
        w = values(classes, 5, 0.5) + 1 if weighted else None
        return F.cross_entropy(x.view(rows, classes), labels(rows, classes, ignored), weight=w, label_smoothing=smoothing)

    return rows * classes, 3, run


def span(lengths, columns, ignored):
    tokens = sum(lengths)

    def run(x):
        x, total, count, first = x.view(tokens, columns), 0, 0, 0
        for s, n in enumerate(lengths):
            for c in range(columns):
                label = (s * 3 + c * 5 + 1) % n
                if not (ignored and (s + c) % 3 == 1):
                    total = total + F.cross_entropy(x[first : first + n, c].unsqueeze(0), torch.tensor([label]))
                    count += 1
            first += n
        return total / count

    return tokens * columns, 3, run


def kl_divergence(rows, classes, temperature):
    def run(x):
        t = values(rows * classes, 11, 3).view(rows, classes) / temperature
        p = F.log_softmax(x.view(rows, classes) / temperature, 1)
        return F.kl_div(p, F.softmax(t, 1), reduction="batchmean") * temperature**2

    return rows * classes, 3, run


def cosine(rows, features, targets):
    def run(x):
        x, z = x.view(rows, features), values(rows * features, 11, 1).view(rows, features)
        if targets:
            return F.mse_loss(F.cosine_similarity(x, z), values(rows, 2, 1))
        return F.cosine_embedding_loss(x, z, torch.ones(rows))

    return rows * features, 3, run


LOSSES = {
    "cross_entropy": cross_entropy(7, 5, 0, False, False),
    "cross_entropy_ignored": cross_entropy(7, 5, 0, False, True),
    "cross_entropy_smoothed": cross_entropy(7, 5, 0.1, False, True),
    "cross_entropy_weighted": cross_entropy(7, 5, 0, True, True),
    "cross_entropy_both": cross_entropy(7, 5, 0.25, True, True),
    "cross_entropy_wide": cross_entropy(3, 37, 0.1, False, False),
    "span": span((5, 17, 1, 9), 2, False),
    "span_ignored": span((5, 17, 1, 9), 2, True),
    "sigmoid": (37, 3, lambda x: F.binary_cross_entropy_with_logits(x, values(37, 11, 0.5) + 0.5)),
    "squared": (37, 3, lambda x: F.mse_loss(x, values(37, 11, 1))),
    "cosine": cosine(3, 19, False),
    "cosine_targets": cosine(3, 19, True),
    "kl": kl_divergence(3, 21, 1),
    "kl_temperature": kl_divergence(3, 21, 2.5),
}


def write_losses():
    with open(os.path.join(HERE, "losses.h"), "w") as out:
        out.write("/* Written by make.py: losses and their gradients. */\n")
        out.write("static const struct {\n  const char *name;\n  double loss, gradient[128];\n} golden_losses[] = {\n")
        for name, (count, scale, run) in LOSSES.items():
            x = values(count, 3, scale).requires_grad_()
            loss = run(x)
            loss.backward()
            out.write(f'    {{"{name}", {loss.item():.9g},\n     {{{numbers(x.grad)}}}}},\n')
        out.write("};\n")


FAKE = {"u8": (0.03125, 37, 0, 255), "u8_low": (0.0237, 0, 0, 255), "u8_high": (0.0119, 255, 0, 255), "s8": (0.019, 0, -128, 127)}


def write_fake_quantize():
    """Out of range on both sides, unless the zero point is at one; gradients by values and by the scale."""
    with open(os.path.join(HERE, "fake_quantize.h"), "w") as out:
        out.write("/* Written by make.py: torch.fake_quantize_per_tensor_affine, and the gradient by a learned scale. */\n")
        out.write("static const struct {\n  const char *name;\n  float scale;\n  int zero, is_signed;\n")
        out.write("  double dscale, y[111], dx[111];\n} golden_fake_quantize[] = {\n")
        for name, (scale, zero, low, high) in FAKE.items():
            x = values(111, 7, 8).float().requires_grad_()
            dy = values(111, 2, 2).float()
            y = torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)
            y.backward(dy)
            step = torch.tensor([scale]).requires_grad_()
            learned = torch._fake_quantize_learnable_per_tensor_affine(
                x.detach().requires_grad_(), step, torch.tensor([float(zero)]), low, high, 1.0)
            learned.backward(dy)
            out.write(f'    {{"{name}", {scale}f, {zero}, {int(low < 0)}, {step.grad.item():.9g},\n')
            out.write(f"     {{{numbers(y.detach())}}},\n     {{{numbers(x.grad)}}}}},\n")
        out.write("};\n")


if __name__ == "__main__":
    write_optimizers()
    write_losses()
    write_fake_quantize()
