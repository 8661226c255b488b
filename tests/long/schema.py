"""The JSON Schema of recipes against PyPI's jsonschema: it accepts what `pith compress` does, and refuses what it refuses.

    pip install jsonschema==4.26.0
    python tests/long/schema.py build/pith
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema

CONFIG = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "vocab_size": 30, "hidden_size": 32,
          "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "hidden_act": "gelu",
          "max_position_embeddings": 32, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0}
TRAIN = {"task": "sst2", "data": "/nowhere.tsv"}


def train(**keys):
    return {"stages": [{"train": {**TRAIN, **{name.replace("_", "-"): value for name, value in keys.items()}}}]}


RIGHT = [train(), train(lr=1e-3, epochs=1, layers="0", freeze=["a*", "b"]), train(freeze="a*"), train(epsilon="auto"),
         train(optimizer="lamb", nesterov=False), {"stages": [{"train": {**TRAIN, "data": "$data"}}] * 16}]
WRONG = [{}, {"stages": []}, {"stages": {}}, {"stage": []}, [], {"stages": [[]]}, {"stages": [{"tarin": {}}]},
         {"stages": [{"prune": {}, "train": {}}]}, {"stages": [{"train": TRAIN}], "seed": 1}, train(patern="x"), train(lr="fast"),
         train(lr=-1), train(epochs=1.5), train(optimizer="adam"), train(nesterov="no"), train(freeze=[]), train(freeze=[1]),
         train(data=""), train(epsilon="small"), {"stages": [{"train": TRAIN}] * 17}]


def main():
    pith = pathlib.Path(sys.argv[1]).resolve()
    schema = json.loads(subprocess.run([pith, "--generate", "schema"], check=True, capture_output=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    recipes = pathlib.Path(__file__).parents[2] / "models" / "recipes"
    ready = [json.loads(path.read_text()) for path in sorted(recipes.glob("*.json"))]
    assert ready and all(validator.is_valid(recipe) for recipe in ready)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps(CONFIG))
        subprocess.run([pith, "new", folder / "config.json", "--seed", "1", "-o", folder / "m.pith"], check=True)
        for wanted, recipes in (True, RIGHT), (False, WRONG):
            for recipe in recipes:
                (folder / "recipe.json").write_text(json.dumps(recipe))
                told = subprocess.run([pith, "compress", folder / "m.pith", "--recipe", folder / "recipe.json", "--data", "/nowhere.tsv",
                                       "-o", folder / "out.pith"], capture_output=True, text=True)
                accepted = "/nowhere.tsv: " in told.stderr  # the first stage begins, and finds no data
                assert told.returncode != 0 and told.stderr.count("\n") == 1
                assert accepted == wanted and validator.is_valid(recipe) == wanted, (recipe, told.stderr)
    print(f"{len(RIGHT) + len(WRONG) + len(ready)} recipes: the schema and pith compress agree")


main()
