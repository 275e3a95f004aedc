"""Programs in processes of their own, beside `tests.support.programs`.

`forks` starts `modelkeep` from a process that has imported it already, `short_timeouts` starts it with shorter limits,
`children` are client processes that can be killed at any instant, `cli` and `terminal` type commands, on a pipe and on
a terminal, and `forked_pytest` runs a selection of tests for each mutant.
"""
