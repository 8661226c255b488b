#!/usr/bin/env python3
"""Fine-tunes one body with Pith and with PyTorch, same settings, several seeds, and measures what comes out on the task's test split.

    finetune.py --pith build/pith --body DIR --data ../shared/data --task mrpc|stsb [--seeds 0 1 2] [--engines pith pytorch] [--out FILE.csv]

DIR is a Hugging Face directory of a BERT body (all-MiniLM-L6-v2). Both: a new head on the pooler, 3 epochs, batches of 16 grouped by length
in windows of 8, AdamW, rate 5e-5 rising over 6 % of the steps and then linear to 0, decay 0.01 except biases and LayerNorm, gradients' norm at
most 1, dropout 0.1, at most 128 tokens. The last model is measured, no checkpoint is chosen: F1 of MRPC, Spearman's correlation of STS-B,
times 100. A seed says the head, the order and the dropout; those of the two engines differ, so that means are compared.
"""
import argparse
import csv
import json
import math
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

EPOCHS, BATCH, WINDOW, RATE, WARMUP, DECAY, LENGTH = 3, 16, 8, 5e-5, 0.06, 0.01, 128
TASKS = {  # train, test, head of Pith, metric
    "mrpc": ("mrpc/msr_paraphrase_train.txt", "mrpc/msr_paraphrase_test.txt", ["classification", "--labels", "different,same"], "f1"),
    "stsb": ("stsb/stsb-en-train.csv", "stsb/stsb-en-test.csv", ["regression"], "spearman"),
}


def read(task, path):
    """[(text, pair, label)]"""
    if task == "mrpc":
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8-sig").split("\n") if line]
        return [(row[3], row[4].rstrip("\r"), int(row[0])) for row in rows]
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[0], row[1], float(row[2])) for row in csv.reader(file)]


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for i in order[begin:end]:
            result[i] = (begin + end - 1) / 2
        begin = end
    return result


def measure(task, wanted, given):
    if task == "stsb":
        return statistics.correlation(ranks(wanted), ranks(given))
    hits = sum(w == 1 and g == 1 for w, g in zip(wanted, given))
    return 2 * hits / (sum(w == 1 for w in wanted) + sum(g == 1 for g in given))


def train_pith(arguments, seed, folder):
    train, test, head, metric = TASKS[arguments.task]
    body, out = folder / "body.pith", folder / "out.pith"
    run = lambda *words: subprocess.run([arguments.pith, *map(str, words)], check=True, capture_output=True, text=True).stdout
    if not body.exists():
        run("import", arguments.body, "-o", body)
    run("train", body, "--head", *head, "--task", arguments.task, "--data", arguments.data / train, "--epochs", EPOCHS, "--batch", BATCH,
        "--group", WINDOW, "--lr", RATE, "--warmup", WARMUP, "--weight-decay", DECAY, "--max-length", LENGTH, "--seed", seed, "--threads",
        arguments.threads, "-o", out)
    return json.loads(run("eval", out, "--task", arguments.task, "--data", arguments.data / test, "--json"))["metrics"][metric]


def train_pytorch(arguments, seed, _):
    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(seed)
    train, test, _, _ = TASKS[arguments.task]
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.body)
    count = 1 if arguments.task == "stsb" else 2
    model = transformers.AutoModelForSequenceClassification.from_pretrained(arguments.body, num_labels=count, dtype=torch.float32)
    encode = lambda rows: [(tokenizer(a, b, truncation="longest_first", max_length=LENGTH), label) for a, b, label in rows]
    rows = encode(read(arguments.task, arguments.data / train))
    generator = random.Random(seed)

    def make_batches():
        order = generator.sample(range(len(rows)), len(rows))
        batches = []
        for begin in range(0, len(order), WINDOW * BATCH):
            window = sorted(order[begin:begin + WINDOW * BATCH], key=lambda i: len(rows[i][0]["input_ids"]))
            window = [window[i:i + BATCH] for i in range(0, len(window), BATCH)]
            generator.shuffle(window)
            batches += window
        return batches

    def feed(batch):
        return tokenizer.pad([item for item, _ in batch], return_tensors="pt")

    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}], lr=RATE,
                                  fused=True)
    steps = EPOCHS * math.ceil(len(rows) / BATCH)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, math.ceil(WARMUP * steps), steps)
    model.train()
    for _ in range(EPOCHS):
        for batch in make_batches():
            batch = [rows[i] for i in batch]
            labels = torch.tensor([label for _, label in batch])
            optimizer.zero_grad(set_to_none=True)
            model(**feed(batch), labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()
    tests = encode(read(arguments.task, arguments.data / test))
    tests.sort(key=lambda row: len(row[0]["input_ids"]))
    given = []
    with torch.no_grad():
        for begin in range(0, len(tests), 32):
            logits = model(**feed(tests[begin:begin + 32])).logits
            given += (logits[:, 0] if count == 1 else logits.argmax(1)).tolist()
    return measure(arguments.task, [label for _, label in tests], given)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pith", required=True)
    parser.add_argument("--body", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--task", choices=list(TASKS), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--engines", nargs="+", choices=["pith", "pytorch"], default=["pith", "pytorch"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    rows, engines = [], {"pith": train_pith, "pytorch": train_pytorch}
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            for engine in arguments.engines:
                begin = time.monotonic()
                value = 100 * engines[engine](arguments, seed, pathlib.Path(folder))
                rows.append({"task": arguments.task, "metric": TASKS[arguments.task][3], "engine": engine, "seed": seed,
                             "value": f"{value:.2f}", "seconds": f"{time.monotonic() - begin:.0f}"})
                print(*rows[-1].values(), flush=True)
    for engine in arguments.engines:
        print(engine, "mean", f"{statistics.mean(float(row['value']) for row in rows if row['engine'] == engine):.2f}")
    if arguments.out:
        with arguments.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


main()
