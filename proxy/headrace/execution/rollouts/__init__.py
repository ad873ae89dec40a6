"""Rollouts on live traffic: which version a key meets, what both versions did, and the end of a bad candidate.

- `keys` finds the key of a request, `versions` the versions that its searches meet;
- `splitting` runs both versions over a batch of documents, `searches` notes what they did in searches;
- `window` compares the versions over a few seconds, `windows` keeps what this process has seen;
- `shadow` compares what both versions make of kept inputs, after the answer;
- `changing` writes the record, by compare-and-set; `judging` goes on with the steps, and aborts.
"""
