#!/usr/bin/env python3
"""Learning rates of transformers' schedules: what train/rate.c has to give.

    python3 make.py      (see requirements.txt)

golden.json: for each schedule the rate of every step, the one after the last included.
"""
import json
import os

import torch
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

PEAK = 3e-5
CASES = [("linear", 0, 7), ("linear", 3, 20), ("linear", 20, 20), ("cosine", 0, 7), ("cosine", 5, 31), ("constant", 0, 5),
         ("constant", 4, 9)]


def make(kind, warmup, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    if kind == "constant":
        schedule = get_constant_schedule_with_warmup(optimizer, warmup)
    else:
        function = {"linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}[kind]
        schedule = function(optimizer, warmup, steps)
    rates = []
    for _ in range(steps + 1):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return {"kind": kind, "warmup": warmup, "steps": steps, "peak": PEAK, "rates": rates}


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w") as out:
    json.dump({"cases": [make(*case) for case in CASES]}, out, indent=0)
    out.write("\n")
