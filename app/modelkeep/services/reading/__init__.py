"""The read path: which version answers to a ref, and where its bytes are."""
