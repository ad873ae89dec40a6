"""Trial runs: samples, what stages made of them, and samples as test cases."""
