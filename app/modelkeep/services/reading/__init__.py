"""The read path: from a ref to a version and presigned URLs of its artifacts."""
