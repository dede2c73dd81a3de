"""OpenID Connect, as far as a server needs it that lets people in: discovery, keys, code for token, claims."""
