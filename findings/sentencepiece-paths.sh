#!/usr/bin/env bash
# A SentencePiece model holds the paths of its training text and of itself, so its bytes depend on the folder.
#
# Guess: the model holds pieces and scores; the same text gives the same file wherever it lies.
# Seen:  trained in two folders on the same text, the pieces are equal and the files are not: the trainer's input= and
#        model_prefix= are stored as given. With sentence_iterator= and model_writer= no path is inside.
# With:  sentencepiece 0.2.3
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check sentencepiece==0.2.3
venv/bin/python - <<'PY'
import io
import pathlib

import sentencepiece

lines = [f"version {number} of the model is in production" for number in range(200)]
options = {"vocab_size": 40, "minloglevel": 2, "num_threads": 1}


def train(folder):
    pathlib.Path(folder).mkdir()
    pathlib.Path(folder, "text.txt").write_text("\n".join(lines))
    sentencepiece.SentencePieceTrainer.train(input=f"{folder}/text.txt", model_prefix=f"{folder}/m", **options)
    return pathlib.Path(folder, "m.model").read_bytes()


def train_from_memory():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **options)
    return model.getvalue()


def pieces(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]


here, there = train("here"), train("somewhere-else")
inside = b"somewhere-else/text.txt" in there
print(f"pieces equal: {pieces(here) == pieces(there)}; files equal: {here == there}; path inside: {inside}")
assert pieces(here) == pieces(there) and here != there and inside
assert train_from_memory() == train_from_memory()
PY
