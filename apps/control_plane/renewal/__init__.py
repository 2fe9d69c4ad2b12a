"""Certificates that the control plane gets itself, by ACME (RFC 8555)."""
