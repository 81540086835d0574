"""Change Data Capture of the simulated org over the Pub/Sub API: gRPC on loopback, fed by what is committed."""
