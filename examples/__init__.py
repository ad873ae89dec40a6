"""Examples: UDFs in several languages (`udfs/`) and the demo that runs them (`demo/`). The tests run all of them."""
