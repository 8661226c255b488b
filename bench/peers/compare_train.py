#!/usr/bin/env python3
"""Training steps of Pith and PyTorch in turn, in one run: A B A B ..., medians and their ratio.

    compare_train.py --pith build/pith --model DIR --data ../shared/data [--rounds 3] [--seconds 10] [--rows NAME ...] [--out FILE.csv]

DIR is a Hugging Face directory of a classifier of MiniLM's size with its tokenizer (minilm-sst2). Both train on the same token ids, grouped by
length, with dropout 0.1, AdamW, and gradients clipped to a norm of 1; PyTorch (train_worker.py) uses its fused AdamW and has
its MKL told that it may use what the CPU has (mkl_any_cpu.c: 1.14 times as fast on an AMD CPU with AVX2); --compile tries
torch.compile besides. Both make WARM_UP steps before they are timed; a rate of steps is that of tokens (none of them padding) over
the mean number in a batch, so that which batches came does not count. `fraction` counts 6 operations for each encoder parameter and token (also
where Pith leaves out rows of the last layer that nothing reads), of the FP32 peak that `pith bench` measures. Nothing else may run beside it.
"""
import argparse
import csv
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CONFIG = HERE.parent / "models" / "bert-base.json"
# row: model, data, batch, threads, the ratio wanted
ROWS = {
    "minilm-sst2": ("minilm", "sst2", 32, 2, 1.6),
    "minilm-mrpc": ("minilm", "mrpc", 16, 2, 1.4),
    "bert-base-8x128": ("bert-base", "128", 8, 1, 1.15),
    "bert-base-8x128-threads": ("bert-base", "128", 8, 2, 1.3),
}
WARM_UP = 3  # as train_worker.py
ENCODER = {"minilm": 10_616_832, "bert-base": 84_934_656}  # weights of the products


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def write_ids(arguments, folder, kind, count):
    """Token ids of real texts, or of 128 at random, as JSON lines."""
    path = folder / f"{kind}.jsonl"
    generator = random.Random(1)
    if kind == "128":
        rows = [[101] + [generator.randrange(1000, 29000) for _ in range(126)] + [102] for _ in range(count)]
    else:
        texts = []
        if kind == "sst2":
            lines = (arguments.data / "sst2" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
            texts = [{"text": line.split("\t")[0]} for line in lines]
        else:
            lines = (arguments.data / "mrpc" / "msr_paraphrase_train.txt").read_text(encoding="utf-8-sig").splitlines()[1:]
            texts = [dict(zip(("text", "pair"), line.split("\t")[3:5])) for line in lines]
        texts = generator.sample(texts, count)
        source = folder / f"{kind}-texts.jsonl"
        source.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
        answers = run([arguments.pith, "tokenize", str(arguments.model), "--input", str(source), "--json"])
        rows = [json.loads(line)["ids"][:128] for line in answers.splitlines()]
    path.write_text("".join(json.dumps({"ids": ids, "label": i % 2}) + "\n" for i, ids in enumerate(rows)), encoding="utf-8")
    return path, sum(map(len, rows)) / len(rows)


class Torch:
    def __init__(self, model, data, batch, threads, shim, flags=()):
        self.rates = []
        pin = ["taskset", "-c", "0"] if threads == 1 else []
        self.process = subprocess.Popen(
            pin + [sys.executable, str(HERE / "train_worker.py"), "--model", str(model), "--data", str(data), "--batch",
                   str(batch), "--threads", str(threads), *flags],
            env=dict(os.environ, LD_PRELOAD=str(shim)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True)
        if not self.process.stdout.readline():
            raise SystemExit("PyTorch did not start")

    def measure(self, seconds):
        self.process.stdin.write(json.dumps({"seconds": seconds}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.rates.append(answer["tokens_per_s"])
        return answer["steps"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Pith:
    def __init__(self, arguments, model, data, batch, threads, folder):
        self.rates = []
        few = folder / "few.jsonl"
        few.write_text("".join(pathlib.Path(data).read_text().splitlines(keepends=True)[:batch]))
        self.command = ["taskset", "-c", "0"] if threads == 1 else []
        self.log = folder / "log.jsonl"
        self.command += [arguments.pith, "train", str(model), "--task", "classification", "--data", str(data), "--eval-data",
                         str(few), "--batch", str(batch), "--threads", str(threads), "--lr", "1e-5", "--dropout", "0.1", "--json",
                         "-o", str(folder / "out.pith"), "--log", str(self.log), "--log-every", "1"]

    def measure(self, steps):
        run(self.command + ["--max-steps", str(steps + WARM_UP)])
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        timed = [line for line in lines if "loss" in line][WARM_UP:]
        seconds = sum(1 / line["steps_per_s"] for line in timed)
        self.rates.append(sum(line["tokens_per_s"] / line["steps_per_s"] for line in timed) / seconds)


def measure_row(name, arguments, folder, shim):
    model, kind, batch, threads, wanted = ROWS[name]
    count = 64 if kind == "128" else 50 * batch
    data, tokens = write_ids(arguments, folder, kind, count)
    file = folder / f"{model}.pith"
    if not file.exists():
        if model == "minilm":
            run([arguments.pith, "import", str(arguments.model), "-o", str(file)])
        else:
            config = json.loads(CONFIG.read_text())
            config.update(architectures=["BertForSequenceClassification"], id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})
            (folder / "bert-base.json").write_text(json.dumps(config))
            run([arguments.pith, "new", str(folder / "bert-base.json"), "--seed", "1", "-o", str(file)])
    source = arguments.model if model == "minilm" else folder / "bert-base.json"
    peers = {"pytorch": Torch(source, data, batch, threads, shim)}
    if arguments.compile:
        peers["pytorch compiled"] = Torch(source, data, batch, threads, shim, ["--compile"])
    ours = Pith(arguments, file, data, batch, threads, folder)
    for _ in range(arguments.rounds):
        for peer in peers.values():
            steps = peer.measure(arguments.seconds)
        ours.measure(max(steps, 4))
    for peer in peers.values():
        peer.close()
    bench = json.loads(run([arguments.pith, "bench", str(file), "--batch", "1", "--seq", "16", "--threads", "1", "--seconds", "1",
                            "--json"]))
    peak = bench["peak"]["fp32_gflops"] * 1e9 * threads
    best = max(statistics.median(peer.rates) for peer in peers.values()) / (tokens * batch)
    rows = []
    for engine, rates in [("pith", ours.rates)] + [(label, peer.rates) for label, peer in peers.items()]:
        rates = [rate / (tokens * batch) for rate in rates]
        rate = statistics.median(rates)
        rows.append({"row": name, "engine": engine, "steps_per_s": f"{rate:.3f}",
                     "fraction": f"{rate * 6 * ENCODER[model] * tokens * batch / peak:.3f}",
                     "spread": f"{(max(rates) - min(rates)) / rate:.3f}",
                     "ratio": f"{rate / best:.3f}" if engine == "pith" else "", "wanted": wanted if engine == "pith" else ""})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pith", required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        shim = pathlib.Path(folder) / "mkl_any_cpu.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, HERE / "mkl_any_cpu.c"], check=True)
        for name in arguments.rows:
            rows += measure_row(name, arguments, pathlib.Path(folder), shim)
            for row in rows[-2 - arguments.compile:]:
                print(*row.values(), flush=True)
    if arguments.out:
        with arguments.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


main()
