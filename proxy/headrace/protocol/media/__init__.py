"""Media types of bodies: which one a request has and asks for, and JSON made of YAML, CBOR and SMILE."""
