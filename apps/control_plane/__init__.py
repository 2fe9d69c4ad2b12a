"""The control plane: intent and live machines in, every proxy's configuration out."""
