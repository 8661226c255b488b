#!/usr/bin/env python3
"""20 steps of PyTorch's AdamW from the same weights over the same batches: learning rate 1e-3, weight decay 0.1 (not for biases and
LayerNorm), no dropout, no clipping, float32.

    pip install -r requirements.txt && python steps.py --minilm ../../../../shared/models/minilm-sst2

steps.json holds a case each: the model, 20 batches (sequences without padding, labels), the losses, and each parameter's name, size and
largest change; steps.f32 holds of each parameter, one case after the other, 256 elements at the end, at the places that `get_places` gives.
"""

import argparse
import json
import os
import random

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
import transformers as hf

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = 256


def get_places(parameter, ids):
    """As in tests/train/test_steps.c: spread over a parameter, or over the rows of words that were read; all of a small one."""
    count, width = parameter.numel(), parameter.shape[-1]
    if ids is not None:
        return [ids[i * 7 % len(ids)] * width + i * 37 % width for i in range(SAMPLES)]
    return [i * count // SAMPLES for i in range(SAMPLES)] if count > SAMPLES else list(range(count))


def make_batches(vocabulary, longest, labels):
    generator = random.Random(5)
    batches = []
    for _ in range(20):
        ids = [[generator.randrange(1, vocabulary) for _ in range(generator.randint(3, longest))] for _ in range(8)]
        batches.append({"ids": ids, "labels": [sequence[0] % labels for sequence in ids]})
    return batches


def run_case(name, folder, longest):
    torch.manual_seed(0)
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32,
                                                                  hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model.train()
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    optimizer = torch.optim.AdamW([{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
                                   {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}], lr=1e-3)
    batches = make_batches(model.config.vocab_size, longest, model.config.num_labels)
    losses = []
    for batch in batches:
        width = max(map(len, batch["ids"]))
        ids = torch.tensor([sequence + [0] * (width - len(sequence)) for sequence in batch["ids"]])
        mask = torch.tensor([[1] * len(sequence) + [0] * (width - len(sequence)) for sequence in batch["ids"]])
        optimizer.zero_grad()
        loss = model(input_ids=ids, attention_mask=mask, labels=torch.tensor(batch["labels"])).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    read = [i for batch in batches for ids in batch["ids"] for i in ids]
    parameters, values = [], []
    for key, parameter in model.named_parameters():
        flat = parameter.detach().numpy().ravel()
        change = float(np.abs(flat - before[key].numpy().ravel()).max())
        parameters.append({"name": key, "count": flat.size, "change": change})
        words = read if key.endswith("word_embeddings.weight") else None
        values.append(flat[get_places(parameter, words)].astype("<f4"))
    print(name, losses[0], losses[-1])
    return {"name": name, "batches": batches, "losses": losses, "parameters": parameters}, values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minilm", required=True)
    arguments = parser.parse_args()
    cases, values = [], []
    for name, folder, longest in (("bert-sequence", os.path.join(HERE, "..", "models", "bert-sequence"), 20),
                                  ("minilm-sst2", arguments.minilm, 24)):
        case, numbers = run_case(name, folder, longest)
        cases.append(case)
        values += numbers
    with open(os.path.join(HERE, "steps.json"), "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")
    with open(os.path.join(HERE, "steps.f32"), "wb") as file:
        file.write(np.concatenate(values).tobytes())


main()
