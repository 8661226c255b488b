#!/usr/bin/env python3
"""Lines per second, one thread: Pith against Hugging Face `tokenizers` on the SST-2 training sentences, in turn.

    python3 bench.py --driver BUILD/tests/models/tokenize_driver [--data ../shared/data] [--rounds 5]
"""
import argparse
import os
import statistics
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import variants
from compare import corpora, records

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--data", default=os.environ.get("PITH_DATA", os.path.join(HERE, "../../../../shared/data")))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lines = corpora(options.data)["sst2 train"]
    texts = [line.decode() for line in lines]
    for name, directory, tokenizer, cased in variants.shared(options.data):
        if name not in ("bert_base_uncased", "roberta"):
            continue
        one, batch, fast, ours = [], [], [], []
        for _ in range(options.rounds):
            begin = time.perf_counter()
            for text in texts:
                tokenizer.encode(text)
            one.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            tokenizer.encode_batch(texts)
            batch.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            tokenizer.encode_batch_fast(texts)  # without offsets
            fast.append(time.perf_counter() - begin)
            run = subprocess.run([options.driver, directory, "--repeat", "5"] + (["--cased"] if cased else []),
                                 input=records(lines), stdout=subprocess.PIPE, check=True)
            ours.append(statistics.median(map(float, run.stdout.split())))
        rates = {k: len(lines) / statistics.median(v) for k, v in
                 (("encode", one), ("encode_batch", batch), ("encode_batch_fast", fast), ("pith", ours))}
        best = max(v for k, v in rates.items() if k != "pith")
        print(name, {k: round(v) for k, v in rates.items()}, f"pith / best of theirs: {rates['pith'] / best:.1f}", flush=True)


if __name__ == "__main__":
    main()
