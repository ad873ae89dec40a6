"""The load of the table: requests, the stub of a cluster, and the proxy that users would write."""
