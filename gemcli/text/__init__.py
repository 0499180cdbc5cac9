"""JSON and YAML as trees with lines, and schemas that read them."""
