"""Copies an index through a pipeline: `spark-submit examples/spark/reindex.py SOURCE TARGET PIPELINE`.

The proxy and the cluster are those of the environment: HEADRACE_URL, HEADRACE_CLUSTER. A second run writes what the
first one has not, and nothing twice.
"""

import argparse
import os

from pyspark.sql import SparkSession

from headrace.spark import OpenSearch, apply


def main() -> None:
    """Reads, runs, writes; prints how many documents had which outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("source", "target", "pipeline"):
        parser.add_argument(name)
    given = parser.parse_args()
    spark = SparkSession.builder.appName("reindex").getOrCreate()
    spark.dataSource.register(OpenSearch)
    cluster = os.environ.get("HEADRACE_CLUSTER") or os.environ["HEADRACE_URL"]
    # Without a node the proxy writes, whose own pipelines are not to run.
    own = {} if os.environ.get("HEADRACE_CLUSTER") else {"pipeline": "_none"}
    documents = spark.read.format("headrace").options(url=cluster, index=given.source).load()
    applied = apply(documents, given.pipeline).cache()
    applied.write.format("headrace").options(url=cluster, index=given.target, **own).mode("append").save()
    for row in applied.groupBy("outcome").count().orderBy("outcome").collect():
        print(f"{row['outcome']}\t{row['count']}")
    spark.stop()


if __name__ == "__main__":
    main()
