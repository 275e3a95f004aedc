"""Fault injectors: what fails between the registry and its storage, and between the client and the registry.

`storage` wraps the two drivers in-process: requests, replies and whole calls get lost, arrive late, or contend;
`sdk_retries` adds the resending of the AWS SDK on top, `outages` makes a table unreadable or unwritable for a while.
`proxy` is a reverse proxy on loopback with a journal of its requests, `network` the faults that it takes; before AWS's
protocols stand `dynamodb_proxy` (with `index_lag`: indexes that are eventually consistent) and `s3_proxy`, on
`aws_proxy`, whose plans are in `aws`. `http_server` is the raw server below them, which can send half an answer.
Each plan of faults is a function of a seed, so a failed test repeats.
"""
