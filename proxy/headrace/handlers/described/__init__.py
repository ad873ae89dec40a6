"""The description of our endpoints in OpenAPI 3.1: operations, the shapes of answers, and the document that is served.

A test compares the operations with the table of routes, and the parameters with those that handlers read.
"""
