#!/usr/bin/env python3
"""PyTorch's training step, timed on demand: reads a line of JSON {"seconds": S}, answers {"tokens_per_s": R, "steps": N, "loss": L},
padding not counted.

    train_worker.py --model DIR|CONFIG.json --data FILE.jsonl --batch B --threads T [--dropout 0.1] [--compile] [--attention sdpa]

FILE has {"ids": [...], "label": N} a line. Batches are grouped by length in windows of 50 batches and padded to their longest;
AdamW is the fused one. A step is forward, backward, clipping of the gradients' norm to 1, and the update.
"""
import argparse
import json
import os
import random
import sys
import time

import torch
import transformers


def make_batches(rows, size):
    generator = random.Random(0)
    order = list(range(len(rows)))
    generator.shuffle(order)
    batches = []
    for begin in range(0, len(order), 50 * size):
        window = sorted(order[begin:begin + 50 * size], key=lambda i: len(rows[i]["ids"]))
        batches += [window[i:i + size] for i in range(0, len(window) - size + 1, size)]
    generator.shuffle(batches)
    result = []
    for batch in batches:
        longest = max(len(rows[i]["ids"]) for i in batch)
        ids = torch.zeros(size, longest, dtype=torch.long)
        mask = torch.zeros(size, longest, dtype=torch.long)
        for row, i in enumerate(batch):
            ids[row, :len(rows[i]["ids"])] = torch.tensor(rows[i]["ids"])
            mask[row, :len(rows[i]["ids"])] = 1
        result.append((ids, mask, torch.tensor([rows[i]["label"] for i in batch])))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(arguments.model)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = arguments.dropout
    config.num_labels = 2
    if os.path.isdir(arguments.model):
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            arguments.model, config=config, dtype=torch.float32, attn_implementation=arguments.attention)
    else:
        model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation=arguments.attention)
    model.train()
    with open(arguments.data, encoding="utf-8") as file:
        batches = make_batches([json.loads(line) for line in file], arguments.batch)
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
                                  lr=1e-5, fused=True)
    run = torch.compile(model, dynamic=True) if arguments.compile else model
    position = 0

    def step():
        nonlocal position
        ids, mask, labels = batches[position % len(batches)]
        position += 1
        optimizer.zero_grad(set_to_none=True)
        loss = run(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    for _ in range(3 if not arguments.compile else 20):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = json.loads(line)["seconds"]
        begin, steps, tokens, position = time.perf_counter(), 0, 0, 0
        while steps == 0 or time.perf_counter() - begin < seconds:
            tokens += int(batches[position % len(batches)][1].sum())
            loss = step()
            steps += 1
        print(json.dumps({"tokens_per_s": tokens / (time.perf_counter() - begin), "steps": steps, "loss": loss}), flush=True)


main()
