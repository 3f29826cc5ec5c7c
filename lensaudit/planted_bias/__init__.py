"""The planted-bias bench: finders with one planted bias each, and clean ones, on which the audit itself is tested."""
