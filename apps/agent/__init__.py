"""The first program on every machine: reads keys, renders templates, brings the volume, takes the edge's address.

User data gives it its task as `/etc/mesh/agent.json` (`apps.agent.config.AgentConfig`).
"""
