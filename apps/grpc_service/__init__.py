"""Sample gRPC service: the proto `apps/protos/info.proto`, health, reflection, graceful stop."""
