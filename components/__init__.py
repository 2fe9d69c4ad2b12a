"""Pulumi components of the mesh, one noun a file; each takes a frozen `XArgs` and can be used by other programs."""
