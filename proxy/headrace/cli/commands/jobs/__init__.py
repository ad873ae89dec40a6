"""Commands that work on what is indexed already."""
