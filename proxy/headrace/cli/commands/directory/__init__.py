"""Commands over a project directory: `init`, `validate`, `test`, `bench`, `dev`, `diff`, `apply` and their kin."""
