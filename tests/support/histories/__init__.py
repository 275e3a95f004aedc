"""Linearizability testing: concurrent clients of several instances record what they asked, and a checker judges it.

`deployments` and `networks` run several instances with a fault profile (in-process or on the wire), `recording` is a
client that writes down invocations and answers, `workloads` is what the clients do, and `linearizability` searches, by
Wing, Gong and Lowe's algorithm, for one order of the operations that explains every answer.
"""
