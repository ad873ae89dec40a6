"""The code blocks of the pages, as CONTRIBUTING.md ("Code blocks are tests") describes them."""
