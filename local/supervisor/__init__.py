"""The one process of a local stack that outlives commands: owns its cloud and its machines, and answers on a socket."""
