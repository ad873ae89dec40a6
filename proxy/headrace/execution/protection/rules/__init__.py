"""What OpenSearch 3.8.0 lets a search contain, as data: a row for each clause, aggregation, suggester and option."""
