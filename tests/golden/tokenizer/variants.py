"""The tokenizers that are compared: the shared vocabularies, and small ones with every option, trained on torture.txt.

    python3 variants.py     trains the small ones again and writes vocabularies/
"""
import json
import os

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

import texts

HERE = os.path.dirname(os.path.abspath(__file__))
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def bert_post(tokenizer):
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")])


def bert_from_vocabulary(path, lowercase):
    tokenizer = Tokenizer(models.WordPiece.from_file(path, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in BERT_SPECIALS])
    tokenizer.post_processor = bert_post(tokenizer)
    return tokenizer


def roberta_from_vocabulary(directory):
    tokenizer = Tokenizer(models.BPE.from_file(f"{directory}/vocab.json", f"{directory}/merges.txt"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False, lstrip=t == "<mask>")
                                  for t in ROBERTA_SPECIALS if tokenizer.token_to_id(t) is not None])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")),
                                                            ("<s>", tokenizer.token_to_id("<s>")), add_prefix_space=False)
    return tokenizer


def shared(data):
    """name, directory, reference, whether --cased is to be given"""
    for name, cased in (("bert_base_uncased", False), ("bert_base_cased_tok", True), ("bert_chinese", False),
                        ("bert_multi_cased", True)):
        directory = f"{data}/vocab/{name}"
        yield name, directory, bert_from_vocabulary(f"{directory}/vocab.txt", not cased), cased
    yield "roberta", f"{data}/vocab/roberta", roberta_from_vocabulary(f"{data}/vocab/roberta"), False


def load(directory):
    """The reference for a folder of vocabularies/."""
    if os.path.exists(f"{directory}/tokenizer.json"):
        return Tokenizer.from_file(f"{directory}/tokenizer.json")
    if os.path.exists(f"{directory}/merges.txt"):
        return roberta_from_vocabulary(directory)
    with open(f"{directory}/tokenizer_config.json", encoding="utf-8") as file:
        config = json.load(file)
    tokenizer = bert_from_vocabulary(f"{directory}/vocab.txt", config["do_lower_case"])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=config["do_lower_case"], strip_accents=config["strip_accents"],
                                                      handle_chinese_chars=config["tokenize_chinese_chars"])
    return tokenizer


def small(here):
    base = os.path.join(here, "vocabularies")
    return [(name, os.path.join(base, name)) for name in sorted(os.listdir(base))]


# ---- making them ---------------------------------------------------------------------------------------------------

def added():
    return [AddedToken("newtoken", normalized=True), AddedToken("CAFÉ", normalized=True),
            AddedToken("leftstrip", lstrip=True, normalized=False), AddedToken("rightstrip", rstrip=True, normalized=False),
            AddedToken("bothstrip", lstrip=True, rstrip=True, normalized=True), AddedToken("oneword", single_word=True, normalized=False)]


def train(tokenizer, trainer, lines):
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def word_piece(lines, normalizer, pre_tokenizer, size, max_chars=100, prefix="##"):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=max_chars, continuing_subword_prefix=prefix))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    train(tokenizer, trainers.WordPieceTrainer(vocab_size=size, special_tokens=BERT_SPECIALS, show_progress=False,
                                               continuing_subword_prefix=prefix, limit_alphabet=700), lines)
    model = json.loads(tokenizer.to_str())["model"]  # the trainer forgets the limit
    tokenizer.model = models.WordPiece(model["vocab"], unk_token="[UNK]", max_input_chars_per_word=max_chars,
                                       continuing_subword_prefix=prefix)
    tokenizer.post_processor = bert_post(tokenizer)
    return tokenizer


def byte_bpe(lines, size, prefix_space, trim, normalizer=None, alphabet=True, regex=True, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=regex)
    train(tokenizer, trainers.BpeTrainer(vocab_size=size, special_tokens=ROBERTA_SPECIALS, show_progress=False,
                                         max_token_length=24 if not regex else None,
                                         initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else []), lines)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")),
                                                            trim_offsets=trim, add_prefix_space=prefix_space)
    return tokenizer


def main():
    raw = texts.read(os.path.join(HERE, "torture.txt"))
    lines = [texts.decode(item)[0].replace("\0", "") for item in raw if len(item) < 400]  # cJSON reads no "\u0000"
    N, P = normalizers, pre_tokenizers
    bert = P.BertPreTokenizer()
    made = {
        "word_piece_uncased": word_piece(lines, N.BertNormalizer(), bert, 1500),
        "word_piece_cased": word_piece(lines, N.BertNormalizer(lowercase=False), bert, 1500),
        "word_piece_added": word_piece(lines, N.BertNormalizer(), bert, 1200),
        "word_piece_raw": word_piece(lines, N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True,
                                                             lowercase=False), bert, 1200, 10),
        "word_piece_lower_only": word_piece(lines, N.BertNormalizer(strip_accents=False), P.WhitespaceSplit(), 1200, 30, ""),
        "word_piece_nfd": word_piece(lines, N.Sequence([N.NFD(), N.Lowercase()]), P.Whitespace(), 1200),
        "word_piece_nfkc": word_piece(lines, N.Sequence([N.NFKC(), N.Lowercase()]), P.Whitespace(), 1200),
        "word_piece_nfkd": word_piece(lines, N.Sequence([N.NFKD(), N.StripAccents()]), P.Whitespace(), 1200),
        "bpe_roberta": byte_bpe(lines, 1500, False, True),
        "bpe_prefix": byte_bpe(lines, 1200, True, True),
        "bpe_untrimmed": byte_bpe(lines, 1000, True, False, ignore_merges=True),
        "bpe_nfc": byte_bpe(lines, 1200, False, True, N.NFC()),
        "bpe_lower": byte_bpe(lines, 1200, True, True, N.Sequence([N.NFKC(), N.Lowercase()])),
        "bpe_unknown": byte_bpe(lines[:60], 400, False, False, alphabet=False, unk_token="<unk>", fuse_unk=True),
        "bpe_whole": byte_bpe(lines[:60], 500, False, True, regex=False),
    }
    for name in ("word_piece_added", "bpe_prefix", "bpe_nfc"):
        made[name].add_tokens(added())
    made["bpe_roberta"].add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    made["word_piece_cased"].post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made["bpe_untrimmed"].post_processor = processors.ByteLevel(trim_offsets=True, add_prefix_space=False)
    made["bpe_nfc"].post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)])])
    made["word_piece_nfd"].post_processor = processors.TemplateProcessing(
        single="$A [SEP] [CLS]:2", pair="$B:1 [SEP]:1 $A [SEP] [CLS]:2", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    for name, tokenizer in made.items():
        os.makedirs(f"{HERE}/vocabularies/{name}", exist_ok=True)
        with open(f"{HERE}/vocabularies/{name}/tokenizer.json", "w", encoding="utf-8") as file:
            file.write(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")

    # The bare files of the other forms.
    vocabulary = made["word_piece_cased"].get_vocab()
    directory = f"{HERE}/vocabularies/word_piece_vocab_txt"
    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/vocab.txt", "w", encoding="utf-8") as file:
        file.write("".join(token + "\n" for token in sorted(vocabulary, key=vocabulary.get)))
    with open(f"{directory}/tokenizer_config.json", "w", encoding="utf-8") as file:
        json.dump({"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}, file)
        file.write("\n")
    directory = f"{HERE}/vocabularies/bpe_vocab_json"
    os.makedirs(directory, exist_ok=True)
    model = json.loads(made["bpe_roberta"].to_str())["model"]
    with open(f"{directory}/vocab.json", "w", encoding="utf-8") as file:
        json.dump(model["vocab"], file, ensure_ascii=False)
    with open(f"{directory}/merges.txt", "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))


if __name__ == "__main__":
    main()
