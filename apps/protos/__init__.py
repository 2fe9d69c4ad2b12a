"""Protos of the sample services and the code made from them.

Regenerate: `python -m grpc_tools.protoc -I . -I <googleapis> --python_out=. --pyi_out=. --grpc_python_out=. apps/protos/info.proto`
"""
