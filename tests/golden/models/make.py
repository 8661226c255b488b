#!/usr/bin/env python3
"""Makes the small checkpoints of this folder and their golden outputs, with Hugging Face's own classes.

    pip install -r requirements.txt && python make.py

Every architecture and head that Pith imports, a few tens of kilobytes each. Weights are drawn from N(0, 0.3), LayerNorm
weights from N(1, 0.3): at the usual 0.02 a missing 1/sqrt(d), a wrong GELU or a wrong epsilon would hide. Each folder holds a
checkpoint as its library saves it, and golden.json: token ids of several sequences, run one at a time without padding
in float64 over the stored weights, and what the import must say about the model.
"""

import json
import os
import shutil
import zlib

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = "the a of to and in is it was cat dog sat on mat good bad film ##s ##ed ##ing ##ly un re b c d e f g h . , ! ?".split()
VOCABULARY = SPECIALS + PIECES
LENGTHS = [7, 1, 19, 2, 12]

BERT = dict(vocab_size=41, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            max_position_embeddings=24, attn_implementation="eager")
ROBERTA = dict(BERT, hidden_size=48, num_attention_heads=3, intermediate_size=40, type_vocab_size=1, layer_norm_eps=1e-5,
               vocab_size=43, max_position_embeddings=26)
DISTILBERT = dict(vocab_size=41, dim=40, n_layers=2, n_heads=5, hidden_dim=56, max_position_embeddings=24,
                  attn_implementation="eager")
ELECTRA = dict(BERT, embedding_size=24)

LABELS = {i: name for i, name in enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])}

# folder: (class, config keys, dtype in the file, options of save_pretrained)
CASES = {
    "bert-model": (hf.BertModel, BERT, "f16"),
    "bert-sequence": (hf.BertForSequenceClassification, dict(BERT, num_labels=3), "f32"),
    "bert-token": (hf.BertForTokenClassification, dict(BERT, id2label=LABELS), "f16"),
    "bert-question": (hf.BertForQuestionAnswering, BERT, "f16"),
    "bert-masked": (hf.BertForMaskedLM, BERT, "f16"),
    "bert-masked-untied": (hf.BertForMaskedLM, dict(BERT, tie_word_embeddings=False), "f16"),
    "bert-pretraining-old-names": (hf.BertForPreTraining, BERT, "f16"),
    "bert-gelu-new": (hf.BertForSequenceClassification, dict(BERT, hidden_act="gelu_new"), "bf16"),
    "bert-gelu-tanh-masked": (hf.BertForMaskedLM, dict(BERT, hidden_act="gelu_pytorch_tanh"), "f16"),
    "bert-relu-epsilon": (hf.BertForSequenceClassification, dict(BERT, hidden_act="relu", layer_norm_eps=0.01), "f16"),
    "bert-silu": (hf.BertForSequenceClassification, dict(BERT, hidden_act="silu"), "f16"),
    "bert-multi-label": (hf.BertForSequenceClassification,
                         dict(BERT, num_labels=4, problem_type="multi_label_classification"), "f16"),
    "bert-regression": (hf.BertForSequenceClassification, dict(BERT, num_labels=1, problem_type="regression"), "f16"),
    "bert-one-label": (hf.BertForSequenceClassification, dict(BERT, num_labels=1), "f16"),
    "bert-sharded": (hf.BertForSequenceClassification, BERT, "f32"),
    "bert-f64": (hf.BertForSequenceClassification, BERT, "f64"),
    "roberta-model": (hf.RobertaModel, dict(ROBERTA, layer_norm_eps=0.01), "f16"),
    "roberta-sequence": (hf.RobertaForSequenceClassification, dict(ROBERTA, num_labels=3), "f32"),
    "roberta-token": (hf.RobertaForTokenClassification, dict(ROBERTA, id2label=LABELS), "f16"),
    "roberta-question": (hf.RobertaForQuestionAnswering, ROBERTA, "f16"),
    "roberta-masked": (hf.RobertaForMaskedLM, dict(ROBERTA, hidden_act="relu"), "f16"),
    "roberta-masked-untied": (hf.RobertaForMaskedLM, dict(ROBERTA, tie_word_embeddings=False), "f16"),
    "xlm-roberta-sequence": (hf.XLMRobertaForSequenceClassification, dict(ROBERTA, type_vocab_size=2), "f16"),
    "camembert-token": (hf.CamembertForTokenClassification, dict(ROBERTA, id2label=LABELS), "f16"),
    "distilbert-model": (hf.DistilBertModel, DISTILBERT, "f16"),
    "distilbert-sequence": (hf.DistilBertForSequenceClassification, DISTILBERT, "f32"),
    "distilbert-token": (hf.DistilBertForTokenClassification, dict(DISTILBERT, id2label=LABELS), "f16"),
    "distilbert-question": (hf.DistilBertForQuestionAnswering, DISTILBERT, "f16"),
    "distilbert-masked": (hf.DistilBertForMaskedLM, DISTILBERT, "f16"),
    "distilbert-relu-epsilon": (hf.DistilBertForSequenceClassification, dict(DISTILBERT, activation="relu"), "bf16"),
    "electra-model": (hf.ElectraModel, dict(ELECTRA, layer_norm_eps=0.01), "f16"),
    "electra-sequence": (hf.ElectraForSequenceClassification, dict(ELECTRA, num_labels=3), "f32"),
    "electra-token": (hf.ElectraForTokenClassification, dict(ELECTRA, id2label=LABELS), "f16"),
    "electra-question": (hf.ElectraForQuestionAnswering, ELECTRA, "f16"),
    "electra-masked": (hf.ElectraForMaskedLM, dict(ELECTRA, hidden_act="relu"), "f16"),
    "electra-same-size": (hf.ElectraForSequenceClassification, dict(ELECTRA, embedding_size=32), "f16"),
}
DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def randomize(model, name):
    """Every parameter random; the same for the same folder name."""
    torch.manual_seed(zlib.crc32(name.encode()))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.3)
            if "norm" in key.lower() and key.endswith("weight"):
                parameter.add_(1.0)
            if name == "distilbert-relu-epsilon" and "_embeddings" in key:
                parameter.mul_(0.01)  # its epsilon is no key of the config: only a small variance shows it
    return model


def make_inputs(config, name):
    """Sequences of ids and type ids, none longer than the positions less one (a test moves positions by one)."""
    rng = np.random.default_rng(zlib.crc32(name.encode()) + 1)
    types = getattr(config, "type_vocab_size", 1)
    ids = [rng.integers(0, config.vocab_size, n).tolist() for n in LENGTHS]
    type_ids = [rng.integers(0, types, n).tolist() for n in LENGTHS]
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        ids[2][5] = config.pad_token_id  # counts as no position
    return ids, type_ids


def run(model, call, ids, type_ids):
    """One sequence at a time; `call` takes the arguments of one."""
    model = model.double().eval()
    outputs = []
    for one, types in zip(ids, type_ids):
        arguments = dict(input_ids=torch.tensor([one]), attention_mask=torch.ones(1, len(one), dtype=torch.long))
        if not model_type(model) == "distilbert":
            arguments["token_type_ids"] = torch.tensor([types])
        with torch.no_grad():
            outputs.append(call(model, arguments))
    return outputs


def model_type(model):
    return (model[0].model if isinstance(model, torch.nn.Sequential) else model).config.model_type


def call_class(model, arguments):
    out = model(**arguments)
    if hasattr(out, "start_logits"):
        return torch.stack([out.start_logits[0], out.end_logits[0]], dim=-1)
    if hasattr(out, "prediction_logits"):
        return out.prediction_logits[0]
    return out.logits[0] if hasattr(out, "logits") else out.last_hidden_state[0]


def write_golden(folder, facts, ids, type_ids, output, values):
    golden = dict(facts, ids=ids, type_ids=type_ids, output=output)
    golden["values"] = [[float(np.float32(v)) for v in row] for row in values]
    text = json.dumps(golden)
    golden["values"] = [["%.9g" % np.float32(v) for v in row] for row in values]
    text = json.dumps(golden).replace('"values": ', '"values":')
    head, tail = text.split('"values":')
    with open(os.path.join(folder, "golden.json"), "w") as file:
        file.write(head.replace(', "', ',\n "') + '"values":' + tail.replace('"', "").replace("], [", "],\n["))
        file.write("\n")


def fresh(name):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def tidy(folder):
    for root, _, files in os.walk(folder):
        for name in files:
            if name in ("README.md", "generation_config.json"):
                os.remove(os.path.join(root, name))
            else:
                os.chmod(os.path.join(root, name), 0o644)


def store(model, folder, dtype, **options):
    model.to(dtype=dtype).save_pretrained(folder, **options)
    tidy(folder)


def task_of(name, config):
    if "sequence" in name or name in ("bert-gelu-new", "bert-relu-epsilon", "bert-silu", "bert-sharded", "bert-f64",
                                      "distilbert-relu-epsilon", "electra-same-size"):
        return "text-classification"
    for part, task in (("token", "token-classification"), ("question", "question-answering"), ("masked", "fill-mask"),
                       ("pretraining", "fill-mask"), ("multi-label", "multi-label-classification"),
                       ("regression", "regression"), ("one-label", "text-ranking"), ("model", "none")):
        if part in name:
            return task
    raise KeyError(name)


def make_case(name, cls, keys, dtype):
    folder = fresh(name)
    config = cls.config_class(**keys)
    model = randomize(cls(config), name)
    store(model, folder, DTYPES[dtype], **({"max_shard_size": "24KB"} if "sharded" in name else {}))
    if "old-names" in name:  # as TensorFlow's checkpoints were converted before 2019
        path = os.path.join(folder, "model.safetensors")
        weights = load_file(path)
        weights = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
                   for k, v in weights.items()}
        weights["bert.embeddings.position_ids"] = torch.arange(config.max_position_embeddings)[None]
        save_file(weights, path, {"format": "pt"})
    ids, type_ids = make_inputs(config, name)
    outputs = run(model, call_class, ids, type_ids)
    task = task_of(name, config)
    per_token = task in ("token-classification", "question-answering", "fill-mask", "none")
    values = torch.cat([o if per_token else o[None] for o in outputs])
    facts = {"task": task, "labels": []}
    if task not in ("none", "fill-mask", "question-answering"):
        facts["labels"] = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if task == "fill-mask":
        rows = [0, 3, 7, 8, 26, 27, 40]
        facts["rows"] = rows
        values = values[rows]
    positions = config.max_position_embeddings
    facts["max_length"] = positions - 2 if "roberta" in name or "camembert" in name else positions
    write_golden(folder, facts, ids, type_ids, "last_hidden_state" if task == "none" else "logits", values.numpy())


def make_tokenizer(folder):
    with open(os.path.join(folder, "vocab.txt"), "w") as file:
        file.write("\n".join(VOCABULARY) + "\n")
    return hf.BertTokenizer(os.path.join(folder, "vocab.txt"))


def make_base(cls, keys, name, dtype):
    base = fresh("base")
    model = randomize(cls(cls.config_class(**keys)), name)
    store(model, base, dtype)
    make_tokenizer(base).save_pretrained(base)
    return base


SENTENCES = {
    "sentence-mean-normalize": lambda n: [Pooling(n, "mean"), Normalize()],
    "sentence-cls-dense-normalize": lambda n: [
        Pooling(n, "cls"), Dense(n, 20, activation_function=torch.nn.Tanh()), Normalize()],
    "sentence-max-dense": lambda n: [
        Pooling(n, "max"), Dense(n, 70, bias=False, activation_function=torch.nn.Identity())],
}


def make_sentence(name, modules):
    base = make_base(hf.BertModel, dict(BERT, vocab_size=len(VOCABULARY)), name,
                     torch.float32 if "mean" in name else torch.float16)
    model = SentenceTransformer(modules=[Transformer(base, max_seq_length=21)] + modules(BERT["hidden_size"]),
                                device="cpu")
    for module in list(model)[1:]:
        randomize(module, name + "-head")
    folder = fresh(name)
    model.save_pretrained(folder)
    shutil.rmtree(base)
    tidy(folder)
    if "mean" in name:  # the form of releases before 5, with the length where they kept it
        with open(os.path.join(folder, "1_Pooling", "config.json"), "w") as file:
            json.dump({"word_embedding_dimension": 32, "pooling_mode_cls_token": False,
                       "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False,
                       "pooling_mode_mean_sqrt_len_tokens": False}, file)
        with open(os.path.join(folder, "sentence_bert_config.json"), "w") as file:
            json.dump({"max_seq_length": 21, "do_lower_case": False}, file)
        with open(os.path.join(folder, "tokenizer_config.json")) as file:
            tokenizer_config = json.load(file)
        tokenizer_config["model_max_length"] = 24
        with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
            json.dump(tokenizer_config, file, indent=2)
    ids, type_ids = make_inputs(model[0].model.config, name)
    outputs = run(model, lambda m, arguments: m(dict(arguments))["sentence_embedding"][0], ids, type_ids)
    facts = {"task": "feature-extraction", "labels": [], "max_length": 21}
    write_golden(folder, facts, ids, type_ids, "embedding", torch.stack(outputs).numpy())


def make_cross_encoder(name, form):
    base = make_base(hf.BertForSequenceClassification, dict(BERT, vocab_size=len(VOCABULARY), num_labels=1), name,
                     torch.float32 if form == "own" else torch.float16)
    folder = fresh(name)
    if form == "own":
        CrossEncoder(base, device="cpu").save_pretrained(folder)
    else:
        shutil.rmtree(folder)
        shutil.copytree(base, folder)
        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
        config.update(form)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(config, file, indent=2)
    model = hf.BertForSequenceClassification.from_pretrained(base, attn_implementation="eager")
    shutil.rmtree(base)
    tidy(folder)
    ids, type_ids = make_inputs(model.config, name)
    outputs = run(model, call_class, ids, type_ids)
    task = "regression" if "Identity" in json.dumps(form) else "text-ranking"
    facts = {"task": task, "labels": ["LABEL_0"], "max_length": 24}
    write_golden(folder, facts, ids, type_ids, "logits", torch.stack(outputs).numpy())


def main():
    hf.logging.set_verbosity_error()
    for name, (cls, keys, dtype) in CASES.items():
        make_case(name, cls, keys, dtype)
    for name, modules in SENTENCES.items():
        make_sentence(name, modules)
    make_cross_encoder("cross-encoder", "own")
    make_cross_encoder("cross-encoder-4", {"sentence_transformers": {
        "activation_fn": "torch.nn.modules.activation.Sigmoid", "version": "4.1.0"}})
    make_cross_encoder("cross-encoder-2", {
        "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"})


if __name__ == "__main__":
    main()
