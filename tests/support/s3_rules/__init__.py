"""A conformance oracle for S3: checks requests against S3's documented rules, above all those that no emulator checks.

`oracle` has the rules, `sigv4` computes signatures without the SDK, `operations` names the operation that a request is,
`errors` has S3's error documents.
"""
