"""Regular expressions against the engines that the cluster has: Java's own and Joni."""
