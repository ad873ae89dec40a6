"""A project directory: pipelines, UDFs, associations and test cases as files that git keeps.

The package reads a directory with line and column of every value, checks it offline and runs its test cases in
the engine. It imports nothing of the server.
"""
