"""The Pulumi provider plugin of the local cloud: the engine's calls become boto3 calls against a moto server.

`table` lists what it serves, `engine` runs one row, `server` is the plugin process, `mocks` the same rows under Pulumi's mocks.
"""
