"""The node side: connections to the nodes of the cluster, requests to them and their answers."""
