"""What a pipeline would change: `spark-submit examples/spark/diff.py PIPELINE INPUT OUTPUT`.

INPUT is a folder or file of Parquet, or of NDJSON where its name ends in `.ndjson` or `.jsonl`. Nothing is indexed.
OUTPUT gets three folders of Parquet: `summary` (outcomes, changed paths and reasons with their counts), `samples`
(texts before and after) and `dead` (documents that fail, with the reason). The pipeline is of the proxy HEADRACE_URL.
"""

import argparse

from pyspark.sql import SparkSession, functions

from headrace.spark import apply, documents, summary

SAMPLES = 100
"""Changed or dropped documents that are kept."""


def main() -> None:
    """Reads files, runs the pipeline, writes what it found, and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("pipeline", "input", "output"):
        parser.add_argument(name)
    given = parser.parse_args()
    spark = SparkSession.builder.appName("diff").getOrCreate()
    if given.input.endswith((".ndjson", ".jsonl")):
        lines = spark.read.text(given.input).select(functions.col("value").alias("_source"))
        rows = lines.withColumn("_id", functions.substring(functions.sha2("_source", 256), 1, 40))
    else:
        rows = documents(spark.read.parquet(given.input))
    applied = apply(rows, given.pipeline, keep_before=True).cache()
    counted = summary(applied).cache()
    counted.coalesce(1).write.mode("overwrite").parquet(f"{given.output}/summary")
    applied.filter("outcome = 'failed'").write.mode("overwrite").parquet(f"{given.output}/dead")
    different = applied.filter("outcome IN ('changed', 'moved', 'dropped')").limit(SAMPLES)
    different.write.mode("overwrite").parquet(f"{given.output}/samples")
    for row in counted.orderBy("kind", functions.desc("documents"), "name").collect():
        print(f"{row['kind']}\t{row['name']}\t{row['documents']}")
    spark.stop()


if __name__ == "__main__":
    main()
