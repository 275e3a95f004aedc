"""What the registry stores, over any `Table`: one class per noun, one method per access pattern."""
