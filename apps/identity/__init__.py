"""A small OpenID Connect provider for local runs, tests and development stacks; never for production."""
