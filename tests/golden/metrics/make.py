#!/usr/bin/env python3
"""Metrics by scikit-learn, SciPy, seqeval and torchmetrics: what models/heads/metrics.c and models/tasks/entities.c have to give.

    python3 make.py      (see requirements.txt)

golden.json: for each kind of metric cases with their input and what the library says of it.
"""
import json
import os
import warnings

import numpy as np
from scipy.special import softmax
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score as entity_precision
from seqeval.metrics import recall_score as entity_recall
from seqeval.scheme import IOB2
from sklearn.metrics import accuracy_score, f1_score, log_loss, matthews_corrcoef
from torchmetrics.functional.text.squad import _compute_exact_match_score, _compute_f1_score

warnings.filterwarnings("ignore")  # what is undefined is 0, as it is here


def classes(random):
    cases = [([0, 1, 1, 0, 1, 2, 2, 0, 1, 1, 0, 2, 1, 0, 0], [0, 1, 0, 0, 1, 2, 1, 0, 1, 2, 0, 2, 0, 0, 1], 3),
             ([4, 1, 1, 0, 1, 2, 2, 0], [0, 1, 0, 0, 1, 2, 1, 0], 5),  # class 3 is absent, 4 is only predicted
             ([0, 0, 0, 0], [0, 0, 0, 0], 2),
             ([1, 1, 1], [0, 1, 0], 2)]
    for count, n in ((2, 200), (3, 97), (7, 400)):
        labels = random.integers(0, count, n)
        right = random.random(n) < 0.7
        cases.append((np.where(right, labels, random.integers(0, count, n)).tolist(), labels.tolist(), count))
    for predicted, labels, count in cases:
        ones = [int(p == 1) for p in predicted], [int(l == 1) for l in labels]
        yield {"predicted": predicted, "labels": labels, "classes": count,
               "accuracy": accuracy_score(labels, predicted),
               "f1": f1_score(ones[1], ones[0]), "mcc": matthews_corrcoef(ones[1], ones[0]),
               "macro_f1": f1_score(labels, predicted, average="macro"),
               "multiclass_mcc": matthews_corrcoef(labels, predicted)}


def label_sets(random):
    for n, count in ((5, 1), (60, 4)):
        wanted = random.random((n, count)) < 0.3
        predicted = wanted ^ (random.random((n, count)) < 0.2)
        yield {"labels": count, "predicted": predicted.astype(int).ravel().tolist(), "wanted": wanted.astype(int).ravel().tolist(),
               "accuracy": accuracy_score(wanted, predicted),
               "micro_f1": f1_score(wanted.ravel(), predicted.ravel())}


def numbers(random):
    cases = [([0.1, 0.4, 0.4, 0.9, -1.5, 2.25, 0.4, 3.0, -0.7, 1.1], [1.0, 2.0, 2.0, 3.5, 0.0, 4.0, 5.0, 4.0, 1.0, 2.0])]
    y = np.round(random.random(300) * 5, 1)  # ties
    cases.append((np.round(y + random.standard_normal(300), 3).tolist(), y.tolist()))
    for x, y in cases:
        yield {"x": x, "y": y, "pearson": pearsonr(x, y).statistic, "spearman": spearmanr(x, y).statistic}


def perplexities(random):
    for n, count, scale in ((1, 2, 1), (40, 11, 3), (7, 90, 3)):
        logits = np.round(random.standard_normal((n, count)) * scale, 2).astype(np.float32)
        labels = random.integers(0, count, n)
        loss = log_loss(labels, softmax(logits.astype(np.float64), axis=1), labels=range(count))
        yield {"classes": count, "logits": [round(float(x), 2) for x in logits.ravel()], "labels": labels.tolist(),
               "perplexity": float(np.exp(loss))}


def entities(random):
    iob = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    cases = [(iob, [[1, 2, 0, 3]], [[1, 2, 0, 3]]), (iob, [[2, 2, 0, 4, 2]], [[1, 2, 0, 3, 1]]), (iob, [[0, 0]], [[0, 0]]),
             (iob, [[1, 4, 4, 0, 2], [2]], [[1, 2, 4, 0, 1], [1]])]
    for labels in (iob, iob + ["E-PER", "S-PER", "S-LOC"], ["O", "PER", "LOC"]):
        wanted = [random.integers(0, len(labels), n).tolist() for n in random.integers(1, 30, 25)]
        predicted = [[int(t) if random.random() < 0.6 else int(random.integers(0, len(labels))) for t in s] for s in wanted]
        cases.append((labels, predicted, wanted))
    for labels, predicted, wanted in cases:
        names = [[[labels[t] for t in s] for s in side] for side in (wanted, predicted)]
        case = {"labels": labels, "predicted": predicted, "wanted": wanted}
        for mode in ("default", "strict"):
            if mode == "strict" and labels is not iob:
                continue
            options = {"mode": "strict", "scheme": IOB2} if mode == "strict" else {}
            case[mode] = [float(f(*names, **options)) for f in (entity_precision, entity_recall, entity_f1)]
        yield case


def answers():
    for answer, references in [("The Eiffel Tower!", ["eiffel tower"]), ("in  1989", ["1989"]),
                               ("Denver Broncos", ["Carolina Panthers", "the Denver Broncos team"]),
                               ("gold gold", ["gold"]), ("", ["x"]), ("caf\u00e9s", ["caf\u00e9s."]), ("U.S.", ["US"]),
                               ("an apple and a pear", ["apple and pear", "a pear"]), ("well-known fact", ["wellknown Fact,"]),
                               ("10 km of the road", ["10 km", "the road of 10 km"])]:
        yield {"answer": answer, "references": references,
               "exact": float(max(_compute_exact_match_score(answer, r) for r in references)),
               "f1": float(max(_compute_f1_score(answer, r) for r in references))}


def main():
    random = np.random.default_rng(6)
    golden = {"classes": list(classes(random)), "label_sets": list(label_sets(random)), "numbers": list(numbers(random)),
              "perplexities": list(perplexities(random)), "entities": list(entities(random)), "answers": list(answers())}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w") as out:
        out.write("{\n")
        for i, (kind, cases) in enumerate(golden.items()):
            out.write(f'"{kind}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]" + ("," if i + 1 < len(golden) else "") + "\n")
        out.write("}\n")


if __name__ == "__main__":
    main()
