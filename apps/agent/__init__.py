"""The first program on every machine: claims its address and volume, reads keys, renders templates, takes the edge's address.

User data gives it its task as `/etc/mesh/agent.json` (`apps.agent.config.AgentConfig`).
"""
