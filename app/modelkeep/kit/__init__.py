"""Mechanisms without a subject of their own, used on every floor.

Bounded gather, backoff, keyed lock, locks between processes, durable files, digests, text for people.
"""
