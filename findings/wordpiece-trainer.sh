#!/usr/bin/env bash
# Training a WordPiece tokenizer twice on the same text gives other token ids.
#
# Guess: the trainer counts and merges, so the same text gives the same vocabulary; BPE's trainer of the library does.
# Seen:  BPE: one vocabulary in five trainings. WordPiece: several, though nothing random is asked for; one thread
#        changes nothing. A model and its tokenizer must be kept together: it cannot be trained again.
# With:  tokenizers 0.23.3
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check tokenizers==0.23.3
venv/bin/python - <<'PY'
import json
import os

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

text = ["the registry names one production version", "a version never changes", "promote the newest to production"] * 20


def train(model, trainer):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(text, trainer)
    return json.dumps(tokenizer.get_vocab(), sort_keys=True)


options = {"vocab_size": 80, "special_tokens": ["[UNK]"], "show_progress": False}
bpe = {train(models.BPE(unk_token="[UNK]"), trainers.BpeTrainer(**options)) for _ in range(5)}
wordpiece = {train(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(**options)) for _ in range(5)}
print(f"five trainings: vocabularies of BPE: {len(bpe)}, of WordPiece: {len(wordpiece)}")
assert len(bpe) == 1 and len(wordpiece) > 1
PY
