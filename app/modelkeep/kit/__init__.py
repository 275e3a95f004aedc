"""Mechanisms without a subject of their own, used on every floor: bounded gather, keyed lock, durable files."""
