"""Rights: `admin` checks who may read and change the registry, `audit` logs changes, `registry_guard` hides its index.

The question to the cluster behind a right is `upstream.permissions`.
"""
