#!/usr/bin/env python3
"""Makes small checkpoints with tokenizers and what Hugging Face's pipelines answer with them.

    pip install -r requirements.txt && python make.py

Version 4 of transformers, because version 5 has no question-answering pipeline. Weights are drawn from N(0, 0.3), those of words and
heads wider, so that tokens differ and answers are clear. Each folder holds a checkpoint, its tokenizer.json, and golden.json: texts and the pipeline's answers.
"""

import json
import os
import random
import zlib

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import transformers as hf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
SENTENCES = [
    "Anna Keller moved from Basel to the old harbour of Odense in 1987, where she built boats.",
    "The bridge over the river Tay was opened by the town's mayor, Mr. O'Brien, on 3 May.",
    "Nobody knows why the clock on the library tower stopped; it's been half past four ever since.",
    "Caf\u00e9 Z\u00fcrich sells 14 kinds of bread, and the baker won't say which one is best!",
    "In the northern valleys, snow-covered roads close early: travellers wait for the plough.",
    "Professor Ito measured the tide twice a day (at dawn and at dusk) for eleven years.",
]
# Byte-level words: contractions are words of their own.
CONTRACTIONS = "We'll say it's late; they've said I'm wrong, you'd think he's right and can't: rock'n'roll 'tis the 90's."
QUESTIONS = ["Where did Anna Keller move?", "Who opened the bridge?", "When?", "How many kinds of bread are sold at the caf\u00e9?"]
SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=512)
ENTITIES = {i: name for i, name in enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"])}


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=220, special_tokens=specials))
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, pad_token="[PAD]", unk_token="[UNK]",
                                      cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
                                      model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=330, special_tokens=specials,
                                                                 initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, pad_token="<pad>", unk_token="<unk>",
                                      cls_token="<s>", sep_token="</s>", mask_token="<mask>", bos_token="<s>", eos_token="</s>",
                                      model_input_names=["input_ids", "attention_mask"])


def randomize(model, name):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    with torch.no_grad():
        for key, parameter in sorted(model.named_parameters()):
            mean = 1.0 if "LayerNorm.weight" in key else 0.0
            spread = 2.0 if "word_embeddings" in key else 1.0 if key.startswith(("qa_outputs", "classifier")) else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread + mean)
    return model.eval()


def bytes_at(text, chars):
    return len(text[:chars].encode())


def long_text(seed, count):
    words = " ".join(SENTENCES).split()
    chooser = random.Random(seed)
    return " ".join(chooser.choice(words) for _ in range(count))


def answer_questions(model, tokenizer):
    pipe = hf.pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
    rows = []
    for context in SENTENCES + [CONTRACTIONS, " ".join(SENTENCES), long_text(1, 260), long_text(2, 700)]:
        for question in QUESTIONS:
            got = pipe(question=question, context=context)
            rows.append(dict(question=question, context=context, start=bytes_at(context, got["start"]),
                             end=bytes_at(context, got["end"]), score=got["score"]))
    return rows


def tag(model, tokenizer):
    pipe = hf.pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu", aggregation_strategy="simple")
    rows = []
    for text in SENTENCES + [" ".join(SENTENCES)]:
        entities = [dict(label=e["entity_group"], start=bytes_at(text, e["start"]), end=bytes_at(text, e["end"]),
                         score=float(e["score"])) for e in pipe(text)]
        rows.append(dict(text=text, entities=entities))
    return rows


def fill(model, tokenizer):
    pipe = hf.pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu", top_k=4)
    rows = []
    for sentence in SENTENCES:
        words = sentence.split()
        for places in ([2], [0, 5]):
            text = " ".join(tokenizer.mask_token if i in places else word for i, word in enumerate(words))
            got = pipe(text)
            masks = [got] if isinstance(got[0], dict) else got
            rows.append(dict(text=text, masks=[[dict(id=f["token"], score=f["score"]) for f in m] for m in masks]))
    return rows


CASES = {
    "bert-question": (hf.BertForQuestionAnswering, hf.BertConfig, wordpiece, answer_questions, {}),
    "roberta-question": (hf.RobertaForQuestionAnswering, hf.RobertaConfig, byte_level, answer_questions,
                         dict(type_vocab_size=1, max_position_embeddings=514, layer_norm_eps=1e-5)),
    "bert-token": (hf.BertForTokenClassification, hf.BertConfig, wordpiece, tag, dict(id2label=ENTITIES)),
    "bert-masked": (hf.BertForMaskedLM, hf.BertConfig, wordpiece, fill, {}),
    "roberta-masked": (hf.RobertaForMaskedLM, hf.RobertaConfig, byte_level, fill,
                       dict(type_vocab_size=1, max_position_embeddings=514, layer_norm_eps=1e-5)),
}

for name, (kind, config, make_tokenizer, answer, more) in CASES.items():
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    tokenizer = make_tokenizer()
    model = kind(config(**{**SIZES, "vocab_size": len(tokenizer), **more}))
    model = randomize(model, name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    os.remove(os.path.join(folder, "special_tokens_map.json"))
    with open(os.path.join(folder, "golden.json"), "w") as out:
        json.dump(answer(model, tokenizer), out, indent=1)
        out.write("\n")
