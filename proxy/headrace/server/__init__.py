"""The client side: connections, the fast path, requests and their bodies, responses, and the router.

Theory of operation. A `Listener` makes a `ClientConnection` for each client. The connection parses heads in Rust, so it
knows where each message ends, and asks a `Forwarder` what becomes of a request. One that no pipeline can concern is
sent to a node in the callback that read it, and its response is written in the callback that read that. Every other
request goes to an unmodified `aiohttp.web` handler, over a transport of ours and aiohttp's public protocol interface.
aiohttp sees a head that ours has accepted and rewritten, one at a time, and never a body: the body is an attribute of
the transport. All responses are written by `response`, so that framing and keep-alive are decided here.

`received` reads and decodes a body, `request` adds forwarding, `reply` our own answers; `components` are the parts of
the proxy that they work with.
"""
