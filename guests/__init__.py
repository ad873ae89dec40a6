"""The guests: interpreters compiled to WebAssembly, in which UDFs written in their languages run."""
