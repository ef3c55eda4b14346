"""RDAP: what registries say of domains, contacts and networks, and which service to ask (RFC 9082, 9083, 9224)."""
