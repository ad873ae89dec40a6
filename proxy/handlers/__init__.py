"""One handler for each surface; each reads as the flow of its request. `call` is what they are given, `choice` says which pipelines apply."""
