"""The allow-list as data: a row for each clause, aggregation, suggester and option of OpenSearch 3.8.0."""
