"""The bench on which the audit itself is tested: finders with planted biases, and clean ones."""
