"""What commands do with a project beside checking and testing it.

- `scaffold` writes a new directory, `writer` that of an export;
- `formats` shows problems to people and machines;
- `dev` finds what a change concerns, and names a set for a trial;
- `bench` measures a UDF;
- `watching` follows the files.
"""
