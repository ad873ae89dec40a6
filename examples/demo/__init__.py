"""`make demo`: a real OpenSearch, the proxy, and pipelines at work on a small data set of tickets."""
