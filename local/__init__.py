"""The same stack on one machine: an AWS of moto, the provider plugin in front of it, machines booted from user data."""
