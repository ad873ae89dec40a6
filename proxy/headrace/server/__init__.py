"""The client side: connections, the request that a handler works with, room for bodies, and answers."""
