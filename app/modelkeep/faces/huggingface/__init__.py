"""The read API of the Hugging Face Hub, below `/hf`: what its clients load is what the registry says.

`main` and no revision mean production. A client finds the face by `HF_ENDPOINT=https://registry.example/hf`.
"""
