"""ONNX encoders: manifest, session, batching and the vectorized UDF."""
