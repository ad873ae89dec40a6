"""The registry: pipelines, UDFs and attachments, signed, in a hidden index of the cluster.

- `store` reads and writes the index by opensearch-py, with compare-and-set;
- `records_codec` turns records into documents of the index and back; `signatures` signs and checks them;
- `ledger` keeps the newest record of each id that this proxy has seen, whatever the index says later;
- `live` polls, compiles a snapshot and swaps it as a whole; `changes` lets a change run to its end;
- `repair` writes lost records anew; `local_copy` and `state_files` keep a copy on disk for a start without cluster;
- `cluster_metadata` asks the cluster for its indexes and templates.
"""
