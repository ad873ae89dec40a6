"""The page `/_proxy/ui/`: HTML for people on a listener of its own, off by default.

Whatever it shows or changes it asks of the proxy itself (`inner`): a request of the API on a connection within the
process, with the caller's own credentials. So its rights, its checks and its audit log are those of the API.
"""
