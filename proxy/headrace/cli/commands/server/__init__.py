"""Commands that run a proxy, or examine one: `serve`, `check-config`, `reload`, `demo`, `doctor`."""
