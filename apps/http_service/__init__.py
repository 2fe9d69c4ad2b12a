"""Sample HTTP service: says which machine answered, and calls the rest of the mesh when asked to."""
