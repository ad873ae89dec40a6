"""The shadow of a rollout: the candidate runs on kept inputs after the answer, and its ends are compared.

On the way of a request only the bytes of inputs, and of what stable made of them, are kept (`watching`). A thread of
low priority runs the candidate on them, in sandboxes of its own and for a part of its time (`worker`), compares the two
ends (`ends`, `compare`) and counts by path and kind, never by value (`counting`). A part of the searches is sent again
with the queries of both versions, to compare their hits (`searches`).
"""
