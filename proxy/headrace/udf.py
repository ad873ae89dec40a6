"""The types of a UDF in Python: `from headrace.udf import Document, Params, Result`."""
