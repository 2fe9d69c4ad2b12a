"""What runs on machines: the control plane, the agent and the sample services. Nothing here imports pulumi."""
