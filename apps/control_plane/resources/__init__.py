"""Pure builders: from the mesh in our words to Envoy's protos, one concern a file."""
