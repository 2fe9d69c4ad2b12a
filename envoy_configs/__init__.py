"""How each Envoy boots (`bootstrap`), and what each would be served, as YAML to read and to diff (`render`)."""
