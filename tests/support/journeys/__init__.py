"""User journeys: long sequences of requests as callers make them, each with its own way of judging the answers.

`release` is the main job over real sockets: register, promote, fetch, roll back. `fault_scenarios` is the whole API
while AWS fails in one way at every step. `mutations` and `callers` change everything that can be changed and keep what
was acknowledged, which `acknowledged` compares with the models' histories. `secret_leak_scan` puts a secret
(`canaries`) wherever a caller can put one, and looks for it in everything that leaves the service.
"""
