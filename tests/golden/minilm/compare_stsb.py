#!/usr/bin/env python3
"""Compares `pith run` with sentence-transformers on the 1,379 pairs of the STS-B test split.

    python compare_stsb.py PITH DIRECTORY STSB_TEST_CSV

PITH is the command, DIRECTORY all-MiniLM-L6-v2. Prints the largest difference between vectors of norm 1 and Spearman's
correlation x 100 of both; exit status 1 where the vectors differ by more than 1e-5 or Pith's correlation is not 82.03.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer


def run_pith(pith, directory, texts):
    with tempfile.TemporaryDirectory() as folder:
        model, lines = os.path.join(folder, "m.pith"), os.path.join(folder, "texts.jsonl")
        with open(lines, "w") as file:
            for text in texts:
                file.write(json.dumps({"text": text}) + "\n")
        subprocess.run([pith, "import", directory, "-o", model], check=True)
        output = subprocess.run([pith, "run", model, "--input", lines, "--json"], check=True, capture_output=True)
    return np.array([json.loads(line)["embedding"] for line in output.stdout.splitlines()], dtype=np.float32)


def main():
    pith, directory, path = sys.argv[1:]
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    texts = [row[0] for row in rows] + [row[1] for row in rows]
    scores = [float(row[2]) for row in rows]
    theirs = SentenceTransformer(directory, device="cpu").encode(texts, batch_size=32, normalize_embeddings=False)
    ours = run_pith(pith, directory, texts)

    def correlate(vectors):
        first, second = vectors[:len(rows)].astype(float), vectors[len(rows):].astype(float)
        cosine = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
        return 100 * spearmanr(cosine, scores).statistic

    difference = float(np.abs(ours - theirs).max())
    print(f"pairs {len(rows)}, largest difference {difference:.2e} at norms {np.linalg.norm(ours, axis=1).min():.6f} "
          f"to {np.linalg.norm(ours, axis=1).max():.6f}")
    print(f"Spearman x 100: Pith {correlate(ours):.2f}, sentence-transformers {correlate(theirs):.2f}")
    sys.exit(0 if difference <= 1e-5 and round(correlate(ours), 2) == 82.03 else 1)


if __name__ == "__main__":
    main()
